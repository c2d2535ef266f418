from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from anaume.report.geometry import plane
from anaume.report.panels import Axis, Line, length_panel, logarithmic, training_panels
from anaume.report.pseudo_perplexity import panel
from anaume.report.sources import read_sources

Write = Callable[..., None]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([2.0, 3], {1, 1.2, 1.5, 2, 2.5, 3, 4, 5}),
        ([2.0, 60], {1, 1.5, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100}),
        ([2.0, 400], {1, 2, 5, 10, 20, 50, 100, 200, 500}),
        ([2.0, 90_000], {1, 10, 100, 1000, 10_000, 100_000}),
        ([np.nan, 0.0], set()),
        ([], set()),
    ],
)
def test_a_logarithmic_axis_has_round_numbers(values: list[float], ticks: set[float]) -> None:
    y = np.array(values, dtype=np.float64)
    axis = logarithmic(Axis("y"), [Line("", "plain", "clear", y, y)])
    assert axis.log
    assert axis.title == "y"
    assert {value for value, _ in axis.ticks} == ticks
    assert all(name.replace(",", "").replace("k", "000") == f"{value:g}" for value, name in axis.ticks if value < 1e5)


def test_a_model_has_one_colour_and_marker_on_all_charts(run: Path, by_length: Write, placed: Write) -> None:
    place = {"stage": "short", "step": 40, "tokens": 1}
    placed(run / "evals", "short-step-0000040", 0.5, -1, checkpoint=place)
    by_length(run / "evals", "short-step-0000040", 1, checkpoint=place)
    by_length(run / "evals", "other", 2)
    placed(run / "evals", "other", 0.75, -2)
    sources = read_sources([run])
    drawn = [length_panel(sources), panel(sources), plane(sources)]
    styles = [
        {line.name: (line.role, line.marker) for line in one.lines if line.style == "points"} for one in drawn if one
    ]
    assert styles == [
        {"End of short": ("series1", "circle"), "End of long": ("series2", "square")},
        {"End of short": ("series1", "circle"), "other": ("series3", "diamond")},
        {"short": ("series1", "circle"), "other": ("series3", "diamond")},
    ]


def test_pseudo_perplexity_over_the_checkpoints_joins_the_training_charts(run: Path, by_length: Write) -> None:
    for stage, step, factor in (("short", 0, 1000), ("short", 40, 2), ("long", 20, 1)):
        place = {"stage": stage, "step": step, "tokens": step}
        by_length(run / "evals", f"{stage}-step-{step:07d}", factor, checkpoint=place)
    panels = {one.id: one for one in training_panels(read_sources([run])[0])}
    (line,) = panels["pseudo-perplexity-steps"].lines
    assert panels["pseudo-perplexity-steps"].y.log
    np.testing.assert_array_equal(line.x, [0, 40, 60])
    np.testing.assert_array_equal(line.y, [4250, 8.5, 4.25])
