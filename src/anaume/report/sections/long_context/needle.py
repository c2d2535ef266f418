"""Needle in a haystack: the means of each test, and a heat map over length and depth for each model."""

from collections.abc import Sequence

import numpy as np

from anaume.report.comparable import PRECISION, SEED, TEXTS, Aspect, setting
from anaume.report.draw.charts import Chart
from anaume.report.draw.figures import PrintFigure
from anaume.report.draw.palette import SERIES
from anaume.report.draw.panels import Panel, cell_axis
from anaume.report.draw.steps import checkpoint_lines
from anaume.report.inputs import EvaluatedModel, ReportInput
from anaume.report.models import compared, heading
from anaume.report.models_table import metrics_table
from anaume.report.section import Content, Page, Score, Section, present, task_columns
from anaume.report.tables import Table

TASK = "needle"
TESTS = {"retrieval": "Retrieval", "bag_of_words": "Bag of words", "cloze": "Cloze"}
SHOWN = {**TESTS, "without_needle": "Cloze without needle"}
# Models of different positions are asked at different lengths, so their means are not comparable.
ASPECTS = (TEXTS, Aspect("Documents", setting("documents")), Aspect("Lengths", setting("lengths")), SEED, PRECISION)


def content(page: Page) -> Content:
    """The table of means, and the heat maps of the first models compared, in a group for each test."""
    models = [model for model in compared(page.inputs) if TASK in model.records][:SERIES]
    groups = []
    for test, title in TESTS.items():
        panels = [panel(model, test, heading(page.inputs, model), number) for number, model in enumerate(models)]
        charts = tuple(Chart(shown.id, shown, shown.id) for shown in panels if shown)
        if charts:
            groups.append((title, charts))
    figures = tuple(PrintFigure(tuple(chart.panel for chart in charts), (2.6, 2.0), columns=3) for _, charts in groups)
    return Content(present(means(page.inputs)), tuple(groups), lead=LEAD if groups else "", figures=figures)


LEAD = (
    "A cell is the share of right answers for a fact at a depth (rows; 0 % is the beginning of the document) of a"
    " document's length in tokens (columns). Retrieval: the query's nearest document holds the fact. Bag of words: BM25"
    " over the same tokens, for which no position exists. Cloze: the masked head copies the fact to the end."
)


def means(inputs: Sequence[ReportInput]) -> Table | None:
    """The mean of each test over all lengths and depths."""
    caption = (
        "Needle in a haystack, means over all lengths and depths; n questions of the two tests. Cloze without needle is"
        " the rate of guessing in the shortest documents."
    )
    return metrics_table(TASK, caption, compared(inputs), TASK, ASPECTS, shown=SHOWN, highest=("retrieval", "cloze"))


def panel(model: EvaluatedModel, test: str, title: str, number: int) -> Panel | None:
    """The heat map of a model's test; None where its record has no cell of the test."""
    rows = [row for row in model.records[TASK].details if row.get("test") == test]
    scores = {(row["depth"], row["length"]): row["score"] for row in rows if row.keys() >= {"depth", "length", "score"}}
    if not scores:
        return None
    depths, lengths = (sorted({key[place] for key in scores}) for place in (0, 1))
    values = [[scores.get((depth, length)) for length in lengths] for depth in depths]
    return Panel(
        f"needle-{test}-{number}".replace("_", "-"),
        title,
        (),
        x=cell_axis("Length in tokens", [f"{length:,}" for length in lengths]),
        y=cell_axis("Depth", [f"{depth:.0%}" for depth in depths], downwards=True),
        cells=np.array(values, dtype=np.float64),
        hover="nearest",
    )


def over_steps(run: ReportInput) -> tuple[Panel, ...]:
    """The means of both tests over the checkpoints."""
    lines = checkpoint_lines(run, TASK, ("Retrieval", "retrieval", "recall"), ("Cloze", "cloze", "cloze"))
    return (Panel("needle-steps", "Needle in a haystack", lines),)


SECTION = Section(
    TASK,
    "Needle in a haystack",
    content,
    figure="figure-needle",
    tasks=(TASK,),
    rank=8,
    overview=(Score(TASK, "retrieval", "Needle retrieval"), Score(TASK, "cloze", "Needle cloze")),
    dynamics=task_columns(TASK, ASPECTS, {"retrieval": "Needle retrieval", "cloze": "Needle cloze"}),
    steps=over_steps,
)
