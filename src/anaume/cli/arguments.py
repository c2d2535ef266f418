"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer


def check_folder(parameter: typer.CallbackParam, out: Path | None) -> Any:
    """Check, before the work begins, that the folder of an option can be written."""
    from anaume.files.outputs import require_folder

    if out is not None:
        require_folder(out, parameter.opts[0])
    return out


def check_new_file(parameter: typer.CallbackParam, out: Path | None) -> Any:
    """Check, before the work begins, that the file of an option is new and can be written."""
    from anaume.files.outputs import require_new_file

    if out is not None:
        require_new_file(out, parameter.opts[0])
    return out


Corpus = Annotated[
    list[str],
    typer.Argument(
        metavar="CORPUS…",
        help="a path, URL, folder or glob of files, hub:NAME[:SUBSET[:SPLIT]], builtin:hakoniwa[:SPLIT], or a source "
        'as in a recipe: \'{path = "data", text_field = "content"}\'',
    ),
]
TextField = Annotated[str, typer.Option(help="field of JSON lines, or column of a table, that holds the text")]
TextDocuments = Annotated[Literal["files", "lines"], typer.Option(help="what a document of .txt files is")]
Encoding = Annotated[str, typer.Option(help="of .txt files and JSON lines: utf-8, cp932, euc_jp, utf-16, …")]
BadLines = Annotated[float, typer.Option(min=0, max=1, help="share of unreadable lines above which reading stops")]
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE.toml")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="a run directory")]
Out = Annotated[Path, typer.Option(help="folder to write", callback=check_folder)]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key of the recipe; may be repeated")
]
