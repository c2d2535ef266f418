"""The grids of fine-tuning: a heat map over learning rates and epochs for each task, protocol and model.

Each map has a scale of its own, from its lowest score to its highest: in a grid the differences count, and those
between models are in the tables.
"""

from collections.abc import Mapping, Sequence
from math import isfinite

import numpy as np

from anaume.evals.record import Record
from anaume.formats import number, percent
from anaume.report.draw.charts import Chart
from anaume.report.draw.figures import PrintFigure
from anaume.report.draw.panels import Panel, cell_axis
from anaume.report.inputs import ReportInput
from anaume.report.models import all_models, heading
from anaume.report.section import ChartGroups

# Protocol of the trials, and the split that selects the best of them → its name in a heading.
SELECTIONS = {
    ("held-out", "held_out"): "on the held-out part of the training split",
    ("paper", "validation"): "on validation data, by the paper's protocol",
}
Cells = dict[tuple[float, int], float]


def grids(inputs: Sequence[ReportInput], titles: Mapping[str, str]) -> tuple[ChartGroups, tuple[PrintFigure, ...]]:
    """The heat maps of every model in a group for each task and protocol, and a print figure for each group.

    `titles` maps the tasks to their titles. A grid of a single cell is no grid.
    """
    groups = []
    for task, title in titles.items():
        models = [model for model in all_models(inputs) if task in model.records]
        for (protocol, split), words in SELECTIONS.items():
            panels = [
                _panel(f"grid-{task}-{protocol}-{order}", heading(inputs, model), cells)
                for order, model in enumerate(models)
                if len(cells := _cells(model.records[task], protocol, split)) > 1 and any(map(isfinite, cells.values()))
            ]
            if panels:
                groups.append((f"{title}: trials {words}", tuple(Chart(p.id, p, p.id) for p in panels)))
    figures = (PrintFigure(tuple(chart.panel for chart in charts), (2.6, 2.1), columns=3) for _, charts in groups)
    return tuple(groups), tuple(figures)


def _cells(record: Record, protocol: str, split: str) -> Cells:
    """(learning rate, epochs) → score of the metric that the trials were selected by, NaN for one that diverged."""
    metric = str(record.settings.get("selected_by"))
    rows = [row for row in record.details if (row.get("protocol"), row.get("split")) == (protocol, split)]
    return {
        (float(row["learning_rate"]), int(row["epochs"])): float(row[metric])
        for row in rows
        if row.keys() >= {"learning_rate", "epochs", metric}
    }


def _panel(name: str, title: str, cells: Cells) -> Panel:
    rates, epochs = sorted({rate for rate, _ in cells}), sorted({count for _, count in cells})
    values = [[cells.get((rate, count), np.nan) for count in epochs] for rate in rates]
    finite = {cell: score for cell, score in cells.items() if isfinite(score)}
    rate, count = max(finite, key=finite.__getitem__)
    return Panel(
        name,
        title,
        (),
        x=cell_axis("Epochs", [f"{count}" for count in epochs]),
        y=cell_axis("Learning rate", [number(rate) for rate in rates]),
        note=f"best: {percent(cells[rate, count])} at learning rate {number(rate)}, epochs {count}",
        cells=np.array(values, dtype=np.float64),
        cell_range=(min(finite.values()), max(finite.values())),
        cell_digits=1,
        hover="nearest",
    )
