"""The ready-made recipes. A wheel holds them inside the package, the source tree in `recipes/` beside `src/`."""

from itertools import takewhile
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def ready_recipes() -> dict[str, Path]:
    """The file of each ready-made recipe, by name."""
    folders = (PACKAGE / "recipes", PACKAGE.parents[1] / "recipes")
    folder = next((folder for folder in folders if folder.is_dir()), folders[0])
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def purpose(file: Path) -> str:
    """The first sentence of the comment with which a recipe begins."""
    lines = takewhile(lambda line: line.startswith("#"), file.read_text(encoding="utf-8").splitlines())
    return " ".join(line.lstrip("# ") for line in lines).partition(". ")[0]
