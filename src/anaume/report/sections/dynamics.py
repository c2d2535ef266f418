"""Training dynamics: every evaluated checkpoint of a run × the metrics of all sections."""

from collections.abc import Sequence

from anaume.report.comparable import caution
from anaume.report.inputs import ReportInput
from anaume.report.section import Content, Page, Section, by_rank, table_of_each
from anaume.report.tables import Cell, Column, Table, number_cells


def content(page: Page) -> Content:
    """A table for each run with checkpoints."""
    return Content(table_of_each(page.inputs, lambda run, suffix: table(run, page.sections, suffix)))


def table(run: ReportInput, sections: Sequence[Section], suffix: str = "") -> Table | None:
    """The checkpoints in the order of training; None where none was evaluated."""
    if not run.checkpoints:
        return None
    groups = sorted((section.dynamics(run) for section in by_rank(sections)), key=lambda columns: not columns.always)
    scores = [score for columns in groups for score in columns.scores]
    rows = []
    for model in run.checkpoints:
        tokens = next((r.checkpoint["tokens"] for r in model.records.values() if "tokens" in r.checkpoint), None)
        values = [model.metric(score.task, score.metric) for score in scores]
        rows.append((Cell(model.stage), *number_cells([model.step, tokens, *values])))
    titles = ["Step", "Tokens", *(score.title for score in scores)]
    comparisons = [comparison for columns in groups for comparison in columns.comparisons if comparison.records]
    return Table(
        f"dynamics{suffix}",
        "Training dynamics: the results of every kept checkpoint. Loss and accuracy are on validation text.",
        (Column("Stage"), *(Column(title, numeric=True) for title in titles)),
        tuple(rows),
        caution(comparisons),
    )


SECTION = Section("dynamics", "Dynamics", content, absent="not evaluated", needs_run=True)
