"""Heat maps of fine-tuning grids."""

from pathlib import Path
from typing import Any

import numpy as np

from anaume.evals.record import Record, save_record
from anaume.report.draw.figures import render
from anaume.report.inputs import read_inputs
from anaume.report.sections.jglue import TITLES
from anaume.report.sections.jglue_grid import grids

NAN = float("nan")


def _trial(
    rate: float, epochs: int, score: float, protocol: str = "held-out", split: str = "held_out"
) -> dict[str, Any]:
    return {"learning_rate": rate, "epochs": epochs, "protocol": protocol, "split": split, "accuracy": score}


def _write(folder: Path, model: str, task: str, *trials: dict[str, Any]) -> None:
    save_record(
        Record(model, task, {"accuracy": 0.5}, 10, {"selected_by": "accuracy"}, 0, details=list(trials)), folder
    )


def test_a_heat_map_for_each_task_and_model(tmp_path: Path) -> None:
    scores = {(5e-5, 1): 0.7, (5e-5, 3): 0.9, (2e-5, 1): 0.6, (2e-5, 3): 0.8, (1e-3, 1): NAN}
    chosen = _trial(5e-5, 3, 0.1, split="validation")  # a training with the selected settings: no cell of the grid
    _write(tmp_path, "a", "jcola", *(_trial(*cell, score) for cell, score in scores.items()), chosen)
    _write(tmp_path, "b", "jcola", _trial(2e-5, 1, 0.25), _trial(2e-5, 3, 0.25))
    _write(tmp_path, "a", "jnli", *(_trial(rate, 1, 0.5, "paper", "validation") for rate in (1e-5, 2e-5)))
    groups, figures = grids(read_inputs([tmp_path]), TITLES)
    assert [(title, [chart.panel.title for chart in charts]) for title, charts in groups] == [
        ("JNLI: trials on validation data, by the paper's protocol", ["a"]),
        ("JCoLA: trials on the held-out part of the training split", ["a", "b"]),
    ]
    panel = groups[1][1][0].panel
    assert [name for _, name in panel.y.ticks] == ["2e-5", "5e-5", "0.001"]
    assert [name for _, name in panel.x.ticks] == ["1", "3"]
    assert panel.cells is not None
    np.testing.assert_array_equal(panel.cells, [[0.6, 0.8], [0.7, 0.9], [NAN, NAN]])
    assert panel.cell_range == (0.6, 0.9)
    assert panel.note == "best: 90.0 at learning rate 5e-5, epochs 3"
    assert len(render("f", figures)) == 6  # the second has equal values in all cells


def test_a_single_cell_and_a_grid_that_diverged_have_no_map(tmp_path: Path) -> None:
    _write(tmp_path, "a", "jcola", _trial(2e-5, 3, 0.5))
    _write(tmp_path, "b", "jcola", _trial(2e-5, 1, NAN), _trial(2e-5, 3, NAN))
    save_record(Record("c", "jcola", {"accuracy": 0.5}, 10, {}, 0), tmp_path)
    assert grids(read_inputs([tmp_path]), TITLES) == ((), ())
