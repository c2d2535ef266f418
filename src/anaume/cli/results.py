"""Verbs that end in a report."""

from pathlib import Path
from typing import Annotated

import typer

from anaume.api import verbs
from anaume.cli.arguments import Out


def demo(out: Out = Path("demo")) -> None:
    """Run the whole pipeline on the built-in corpus, in some minutes: from text to an evaluated, exported encoder.

    Example: anaume demo --out demo
    """
    from anaume.demo import demo

    demo(out)


def report(
    inputs: Annotated[list[Path], typer.Argument(metavar="RUN_OR_EVALS…", help="run directories, folders of records")],
    out: Out,
) -> None:
    """Write the page, the figures and the tables.

    Example: anaume report runs/small --out runs/small/report
    """
    print(verbs.report(inputs, out, progress=True))
