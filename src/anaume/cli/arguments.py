"""Arguments and options that several verbs share."""

from pathlib import Path
from typing import Annotated

import typer

Corpus = Annotated[
    list[str],
    typer.Argument(
        metavar="CORPUS…",
        help="a path, URL or glob of files, hub:NAME[:SUBSET[:SPLIT]], or builtin:hakoniwa[:SPLIT]",
    ),
]
RecipeFile = Annotated[Path, typer.Argument(metavar="RECIPE.toml")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="a run directory")]
Out = Annotated[Path, typer.Option(help="folder to write")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change a key of the recipe; may be repeated")
]
