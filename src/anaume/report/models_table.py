"""Models and a task → a table with a row for each model and a column for each metric."""

import re
from collections.abc import Iterable, Mapping, Sequence

from anaume.report.comparable import Aspect, caution, comparison
from anaume.report.inputs import EvaluatedModel
from anaume.report.tables import Cell, Column, Table, number_cells, strongest

# Titles of metrics that several tasks may report; a section adds those of its own task.
TITLES = {
    "loss": "Loss",
    "accuracy": "Accuracy",
    "accuracy_at_1": "Acc@1",
    "accuracy_at_5": "Acc@5",
    "mrr": "MRR",
    "recall_at_10": "Recall@10",
    "mrr_at_10": "MRR@10",
}
LENGTH_BIN = re.compile(r"^(\w+) [\[(](\d+), [^\])]+[\])]$")  # loss (2048, 4096], loss (8192, …)


def metrics_table(
    name: str,
    caption: str,
    models: Sequence[EvaluatedModel],
    task: str,
    aspects: Sequence[Aspect],
    *,
    shown: Mapping[str, str] | None = None,
    titles: Mapping[str, str] | None = None,
    highest: Sequence[str] = (),
    lowest: Sequence[str] = (),
) -> Table | None:
    """Models × metrics of one task, with the number of examples n; None where no model has a record of the task.

    `aspects`            what must agree between the records; else the table has a caution and marks no best value
    `shown`              metric → title of the columns; without it every metric of the records has a column
    `titles`             titles of the task's own metrics, beside `TITLES`; a metric without title has its name
    `highest`, `lowest`  metrics whose highest or lowest value stands out as the best
    """
    models = [model for model in models if task in model.records]
    if not models:
        return None
    present = dict.fromkeys(name for model in models for name in model.records[task].metrics)
    known = TITLES | dict(titles or {})
    columns_shown = {name: known.get(name, name) for name in present} if shown is None else shown
    metrics = [metric for metric in columns_shown if metric in present]
    columns = []
    differences = caution([comparison(models, task, aspects)])
    for metric in metrics:
        values = [model.records[task].metrics.get(metric) for model in models]
        cells = _score_cells(values)
        ranked = not differences and (metric in highest or metric in lowest)
        columns.append(strongest(cells, values, lowest=metric in lowest) if ranked else cells)
    counts = [Cell(f"{model.records[task].n:,}") for model in models]
    rows = zip([Cell(model.label) for model in models], *columns, counts, strict=True)
    heads = [Column(columns_shown[metric], numeric=True) for metric in metrics]
    return Table(name, caption, (Column("Model"), *heads, Column("n", numeric=True)), tuple(rows), differences)


def _score_cells(values: Sequence[float | None]) -> list[Cell]:
    """The cells of a column, all with decimals if one value has some: a share may have been written as 0 or 1."""
    if any(isinstance(value, float) for value in values):
        values = [None if value is None else float(value) for value in values]
    return number_cells(values)


def length_bins(models: Iterable[EvaluatedModel], task: str, metric: str) -> list[str]:
    """The names of a metric by length, shortest first: "loss [0, 1024]", "loss (1024, 2048]"."""
    names = dict.fromkeys(name for model in models if task in model.records for name in model.records[task].metrics)
    matches = [match for name in names if (match := LENGTH_BIN.match(name)) and match[1] == metric]
    return [match[0] for match in sorted(matches, key=lambda match: int(match[2]))]
