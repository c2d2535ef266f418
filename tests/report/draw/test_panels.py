import numpy as np
import pytest

from anaume.report.draw.panels import Axis, Line, logarithmic


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
