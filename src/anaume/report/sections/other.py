"""Other tasks: a table for every task that has records but no section of its own."""

from collections.abc import Sequence

from anaume.report.comparable import DATA, PRECISION, TEXTS
from anaume.report.inputs import ReportInput
from anaume.report.models import all_models
from anaume.report.models_table import metrics_table
from anaume.report.section import Content, Page, Section, present
from anaume.report.tables import Table, file_stem

ASPECTS = (DATA, TEXTS, PRECISION)


def content(page: Page) -> Content:
    """A table for every task that no section of the page shows."""
    return Content(tables(page.inputs, {task for section in page.sections for task in section.tasks}))


def tables(inputs: Sequence[ReportInput], shown: set[str]) -> tuple[Table, ...]:
    """All models × all metrics of every task that is not in `shown`."""
    models = all_models(inputs)
    tasks = dict.fromkeys(task for model in models for task in model.records if task not in shown)
    return present(*(metrics_table(file_stem(task), f"Task: {task}.", models, task, ASPECTS) for task in tasks))


SECTION = Section("other", "Other tasks", content)
