"""`anaume play`: the web page."""

from importlib.util import find_spec
from typing import Annotated

import typer

from anaume.errors import UserError


def play(
    models: Annotated[list[str], typer.Argument(metavar="MODEL…", help="folders, Hub ids or run directories")],
    port: Annotated[int, typer.Option(min=0, max=65535, help="port on 127.0.0.1; 0 takes any free one")] = 7860,
) -> None:
    """Show models on a web page of this machine: blanks, tokens, similarities, search, labels and a run's curves.

    Example: anaume play runs/small cl-tohoku/bert-base-japanese-v3
    """
    from pathlib import Path

    from anaume.model.place import check_place
    from anaume.run import Run

    for model in models:
        if not Run(Path(model)).exists:
            check_place(model)
    if find_spec("gradio") is None:
        raise UserError("play: gradio is not installed; expected `pip install 'anaume[play]'`")
    from anaume.play.server import play, reserve

    with reserve(port) as listener:
        play(models, listener)
