"""Several runs laid over each other: the keys in which their recipes differ, and every curve that two runs share.

The rule: curves are drawn over the tokens that a run has seen, because steps of different batches are not comparable.
"""

from collections.abc import Sequence
from dataclasses import replace

from anaume.recipe.compare import flat_values
from anaume.report.draw.charts import Chart
from anaume.report.draw.figures import PrintFigure
from anaume.report.draw.palette import of_series
from anaume.report.draw.panels import Line, Panel, logarithmic
from anaume.report.draw.steps import TOKENS, over_tokens
from anaume.report.inputs import ReportInput
from anaume.report.section import Content, Page, Section, present
from anaume.report.sections.made_of.manifest import plain_cell
from anaume.report.sections.runs.training import training_panels
from anaume.report.tables import Cell, Column, Table

Overlay = tuple[Panel, bool]  # with whether the panel is part of the print figure


def content(page: Page) -> Content:
    """The differences of the recipes, and a chart for each curve of at least two runs."""
    overlays = overlaid(page)
    charts = tuple(Chart(panel.id, panel, "tokens") for panel, _ in overlays)
    printed = tuple(panel for panel, in_print in overlays if in_print)
    return Content(
        present(differences(page.inputs)),
        (("", charts),) if charts else (),
        lead=lead(page.inputs) if charts else "",
        figures=(PrintFigure(printed, (3.5, 2.25), columns=2),) if printed else (),
        tables_first=True,
    )


def lead(inputs: Sequence[ReportInput]) -> str:
    """What the section shows."""
    text = (
        "Curves that at least two runs have, over the tokens that each run had seen. A run has one colour throughout."
    )
    same = _recipes(inputs) and not differences(inputs)
    return f"{text} The recipes are the same in every key." if same else text


def differences(inputs: Sequence[ReportInput]) -> Table | None:
    """Keys × runs, only the keys in which the recipes differ; None where there are none."""
    recipes = _recipes(inputs)
    keys = dict.fromkeys(key for recipe in recipes.values() for key in recipe)
    rows = [
        (Cell(key), *(plain_cell(recipe.get(key)) for recipe in recipes.values()))
        for key in keys
        if len({repr(recipe.get(key)) for recipe in recipes.values()}) > 1
    ]
    if not rows:
        return None
    heads = (Column("Key"), *(Column(name, wide=True) for name in recipes))
    return Table("recipe-differences", "The keys in which the recipes differ.", heads, tuple(rows))


def _recipes(inputs: Sequence[ReportInput]) -> dict[str, dict[str, object]]:
    """Run → key of its recipe → value, if at least two runs have a recipe."""
    recipes = {run.name: dict(flat_values(_stages_by_name(run.recipe))) for run in inputs if run.recipe}
    return recipes if len(recipes) > 1 else {}


def _stages_by_name(recipe: dict[str, object]) -> dict[str, object]:
    """The recipe with its stages by their names, so that a stage in front of the others moves no key."""
    stages = recipe.get("stage", [])
    assert isinstance(stages, list)  # `read_inputs` has checked it
    return recipe | {"stage": {str(stage.get("name", number)): stage for number, stage in enumerate(stages)}}


def overlaid(page: Page) -> list[Overlay]:
    """A panel for each curve of the training charts that at least two runs have, in the order of those charts."""
    curves: dict[tuple[str, str], list[tuple[Panel, bool, Line]]] = {}
    for number, run in enumerate(page.inputs):
        role, marker = of_series(number)
        for panel, in_print in training_panels(run, page.sections):
            for line in panel.lines:
                if line.style != "faint" and len(x := over_tokens(run, line.x)):
                    drawn = replace(line, name=run.name, role=role, marker=marker, x=x)
                    curves.setdefault((panel.id, line.name), []).append((panel, in_print, drawn))
    return [
        _overlay(f"overlay-{number}", name, lines)
        for number, ((_, name), lines) in enumerate(curves.items())
        if len(lines) > 1
    ]


def _overlay(name: str, line_name: str, curves: Sequence[tuple[Panel, bool, Line]]) -> Overlay:
    """One panel of the curves of a name, logarithmic if a run's own panel is."""
    panel, in_print, _ = next((curve for curve in curves if curve[0].y.log), curves[0])
    lines = tuple(line for _, _, line in curves)
    several = len([line for line in panel.lines if line.style != "faint"]) > 1
    title = f"{panel.title}: {line_name}" if several else panel.title
    y = logarithmic(panel.y, lines) if panel.y.log else panel.y
    return Panel(name, title, lines, x=TOKENS, y=y, size="normal"), in_print


SECTION = Section("runs", "Runs compared", content, needs_run=True, figure="figure-runs-compared")
