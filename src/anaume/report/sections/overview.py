"""The overview: the models that the page compares × the main scores of all tasks, one row each."""

from anaume.report.models import compared
from anaume.report.section import Content, Page, Section, by_rank, present
from anaume.report.tables import Cell, Column, Table, number_cells


def content(page: Page) -> Content:
    """The table of all models."""
    return Content(present(table(page)))


def table(page: Page) -> Table | None:
    """A row for each model and a column for each main score that a model has; None without any.

    No model is marked as best: only the section of a task knows whether its models were measured alike.
    """
    models = [model for model in compared(page.inputs) if model.records]
    scores = [
        score
        for section in by_rank(page.sections)
        for score in section.overview
        if any(model.metric(score.task, score.metric) is not None for model in models)
    ]
    if not scores:
        return None
    rows = [
        (Cell(model.label), *number_cells(model.metric(score.task, score.metric) for score in scores))
        for model in models
    ]
    caption = (
        "The main scores of every model. The section of each task has its details, and says whether the models were "
        "measured on the same data."
    )
    heads = (Column("Model"), *(Column(score.title, numeric=True) for score in scores))
    return Table("overview", caption, heads, tuple(rows))


SECTION = Section("overview", "Overview", content)
