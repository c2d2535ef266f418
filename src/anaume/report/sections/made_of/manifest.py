"""The data, the stages and the environment of a run, from its manifest and its recipe.

Every key of the manifest is optional; the page shows those that it has.
"""

from collections.abc import Callable

from anaume.formats import MISSING, number
from anaume.report.inputs import ReportInput
from anaume.report.section import Content, Page, Section, table_of_each
from anaume.report.tables import Cell, Column, Table


def recipe(page: Page) -> Content:
    """The stages of each run, and the text of its recipe."""
    texts = tuple((run.name, run.recipe_text) for run in page.inputs if run.recipe_text)
    return Content(table_of_each(page.inputs, stages), texts=texts)


def data(run: ReportInput, suffix: str = "") -> Table | None:
    """The manifest's entries on the data, a row for each part of the corpus."""
    parts = run.manifest.get("data")
    if not isinstance(parts, dict):
        return None
    parts = {name: part for name, part in parts.items() if isinstance(part, dict)}
    keys = list(dict.fromkeys(key for part in parts.values() for key in part))
    if not keys:
        return None
    rows = [(Cell(str(name)), *(plain_cell(part.get(key)) for key in keys)) for name, part in parts.items()]
    heads = [
        Column(_title(key), numeric=all(isinstance(p.get(key, 0), int | float) for p in parts.values())) for key in keys
    ]
    return Table(f"data{suffix}", "The data of the run.", (Column("Part"), *heads), tuple(rows))


def stages(run: ReportInput, suffix: str = "") -> Table | None:
    """The recipe's stages side by side: a row for each key, a column for each stage."""
    tables = [stage for stage in run.recipe.get("stage", []) if isinstance(stage, dict)]
    keys = dict.fromkeys(key for stage in tables for key in stage if key != "name")
    if not keys:
        return None
    heads = [Column(str(stage.get("name", MISSING)), numeric=True) for stage in tables]
    rows = [(Cell(_title(key)), *(plain_cell(stage.get(key)) for stage in tables)) for key in keys]
    return Table(f"stages{suffix}", "The stages of training.", (Column("Setting"), *heads), tuple(rows))


def environment(run: ReportInput, suffix: str = "") -> Table | None:
    """Date, versions, size and machine of the run."""
    machine = run.manifest.get("environment")
    entries = {key: run.manifest.get(key) for key in ("created", "anaume", "recipe_hash", "parameters")}
    entries |= machine if isinstance(machine, dict) else {}
    rows = [(Cell(_title(key)), plain_cell(value)) for key, value in entries.items() if value is not None]
    if not rows:
        return None
    columns = (Column("Entry"), Column("Value", wide=True))
    return Table(f"environment{suffix}", "The environment of the run.", columns, tuple(rows))


def plain_cell(value: object) -> Cell:
    """A value of a manifest or a recipe as a cell."""
    if value is None or value == "":
        return Cell()
    if isinstance(value, bool):
        return Cell("yes" if value else "no")
    if isinstance(value, int):
        return Cell(f"{value:,}")
    if isinstance(value, float):
        return Cell(number(value) if 0 < abs(value) < 0.001 else f"{value:g}")
    if isinstance(value, list):
        return Cell(", ".join(str(entry) for entry in value) or MISSING)
    if isinstance(value, dict):
        return Cell("; ".join(f"{key}: {entry}" for key, entry in value.items()) or MISSING)
    return Cell(str(value))


def _title(key: str) -> str:
    words = str(key).replace("_", " ")
    return words[:1].upper() + words[1:]


def _section(title: str, content: Callable[[Page], Content]) -> Section:
    return Section(title.lower(), title, content, absent="not recorded", needs_run=True)


DATA = _section("Data", lambda page: Content(table_of_each(page.inputs, data)))
RECIPE = _section("Recipe", recipe)
ENVIRONMENT = _section("Environment", lambda page: Content(table_of_each(page.inputs, environment)))
