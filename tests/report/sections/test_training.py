from pathlib import Path

import numpy as np

from anaume.report.draw.steps import borders
from anaume.report.inputs import read_inputs
from anaume.report.sections import PAGE, training


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
