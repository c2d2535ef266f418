from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from anaume.report.draw.steps import borders
from anaume.report.inputs import read_inputs
from anaume.report.sections import PAGE
from anaume.report.sections.runs import training


def test_both_stages_lie_on_one_axis_with_a_gap_between(whole_run: Path) -> None:
    (run,) = read_inputs([whole_run])
    panels = {panel.id: panel for panel, _ in training.training_panels(run, PAGE)}
    assert [(b.stage, b.start, b.end) for b in borders(run)] == [("short", 0, 40), ("long", 40, 60)]
    raw, clear, validation = panels["loss"].lines
    assert (raw.x[0], raw.x[-1]) == (1, 60)
    assert np.isnan(raw.x[40])
    assert np.isnan(clear.y[40])
    np.testing.assert_array_equal(validation.x, [0, 40, np.nan, 40, 60])
    assert "mfu" not in panels  # null on every line


def test_the_print_figure_has_the_panels_of_the_paper(whole_run: Path) -> None:
    panels = training.training_panels(read_inputs([whole_run])[0], PAGE)
    assert [panel.id for panel, in_print in panels if in_print] == ["loss", "accuracy", "retrieval", "learning-rate"]


def _train(stage: str, step: int, loss: float, objective: str) -> dict[str, Any]:
    line = {"kind": "train", "stage": stage, "step": step, "objective": objective, "loss": loss, "learning_rate": 1e-3}
    return line | {"gradient_norm": 1.0, "tokens": step, "tokens_per_second": 1.0, "padding_fraction": 0.0, "mfu": 0.1}


def _validation(stage: str, step: int, name: str, loss: float, **more: float) -> dict[str, Any]:
    line = {"kind": "validation", "stage": stage, "step": step, "set": name, "loss": loss, "accuracy": 0.5}
    return line | {"bits_per_character": loss / 2} | more


def test_causal_and_masked_loss_are_drawn_apart(make_run: Callable[..., Path]) -> None:
    lines = [_train("short", step, 5.0, "causal") for step in (1, 2)]
    lines += [_validation("short", 2, "general", 4.0, causal_loss=4.5)]
    lines += [_train("long", step, 3.0, "masked") for step in (1, 2)]
    (run,) = read_inputs([make_run(lines=lines, evals=False)])
    panels = {panel.id: panel for panel, _ in training.training_panels(run, PAGE)}
    masked, causal = panels["loss"], panels["causal-loss"]
    assert (masked.title, causal.title) == ("Masked-LM loss (nats)", "Next-token loss of causal stages (nats)")
    assert [line.y.tolist() for line in masked.lines] == [[3.0, 3.0], [3.0, 3.0], [4.0]]
    assert [line.y.tolist() for line in causal.lines] == [[5.0, 5.0], [5.0, 5.0], [4.5]]
    assert [line.x.tolist() for line in masked.lines] == [[3.0, 4.0], [3.0, 4.0], [2.0]]


def test_each_validation_set_has_a_line(make_run: Callable[..., Path]) -> None:
    lines = [_validation("short", step, name, loss) for step in (0, 2) for name, loss in (("all", 4.0), ("法律", 2.0))]
    (run,) = read_inputs([make_run(lines=lines, evals=False)])
    panels = {panel.id: panel for panel, _ in training.training_panels(run, PAGE)}
    for panel, factor in (("loss", 1), ("bits-per-character", 0.5)):
        drawn = {line.name: line.y.tolist() for line in panels[panel].lines}
        assert drawn == {"validation: all": [4 * factor] * 2, "validation: 法律": [2 * factor] * 2}
    assert len({line.role for line in panels["loss"].lines}) == 2
    assert "causal-loss" not in panels
