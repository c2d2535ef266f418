import json
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from anaume.report.curves import finite, last_lines, read_metrics, smooth, thin, training_seconds


def write(folder: Path, *lines: object, tail: str = "") -> Path:
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail, encoding="utf-8")
    return path


def line(step: int, loss: float, kind: str = "train") -> dict[str, object]:
    return {"kind": kind, "stage": "s", "step": step, "loss": loss}


def test_the_later_line_of_a_step_counts_and_steps_come_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, line(1, 5.0), line(2, 4.0), line(3, 9.0), line(2, 3.5), line(3, 3.0))
    curve = read_metrics(path)[0]["train", "s", ""]
    assert_array_equal(curve["step"], [1, 2, 3])
    assert_array_equal(curve["loss"], [5.0, 3.5, 3.0])


def test_fields_that_a_line_lacks_are_nan_and_other_kinds_are_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path, line(1, 5.0), line(1, 4.0, "validation"), {"kind": "note", "stage": "s", "text": "?"})
    curves, _ = read_metrics(path)
    assert set(curves) == {("train", "s", ""), ("validation", "s", "")}
    assert np.isnan(curves["train", "s", ""]["mfu"]).all()
    assert "mfu" not in curves["validation", "s", ""]


def test_a_last_line_cut_off_is_left_out(tmp_path: Path) -> None:
    curves, problems = read_metrics(write(tmp_path, line(1, 5.0), tail='{"kind": "train", "sta'))
    assert_array_equal(curves["train", "s", ""]["step"], [1])
    assert problems == []


@pytest.mark.parametrize(
    "bad", ["not json", "[1]", '{"kind": "train", "stage": "s", "loss": 1}', '{"kind": "train", "step": 1}',
            '{"kind": "train", "stage": "s", "step": 1, "loss": "low"}']
)  # fmt: skip
def test_a_damaged_line_is_named_and_left_out(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps(line(1, 5.0)) + "\n" + bad + "\n" + json.dumps(line(2, 5.0)) + "\n")
    curves, problems = read_metrics(path)
    assert_array_equal(curves["train", "s", ""]["step"], [1, 2])
    assert [problem.startswith(f"{path}:2: ") for problem in problems] == [True]
    assert "not a metrics line; expected" in problems[0]


def test_the_last_training_line_of_each_stage_is_kept_whole(tmp_path: Path) -> None:
    lines = [line(1, 5.0), line(2, 4.0) | {"source_tokens": [1, 2]}, line(3, 3.0, "validation")]
    lines += [line(1, 2.0) | {"stage": "t"}, {"kind": "note", "text": "?"}]
    path = write(tmp_path, *lines, tail='{"kind": "train", "stage": "t", "st')
    assert last_lines(path, ["s", "t", "u"]) == {"s": lines[1], "t": lines[3]}
    assert last_lines(path, ["t"]) == {"t": lines[3]}


def test_thinning_keeps_first_last_and_extremes() -> None:
    rng = np.random.default_rng(0)
    x, y = np.arange(500_000.0), rng.normal(size=500_000)
    y[123_456], y[345_678] = 99, -99
    thin_x, thin_y = thin(x, y, 2000)
    assert len(thin_x) <= 2000
    assert len(thin_x) > 1900
    assert (thin_x[0], thin_x[-1]) == (0, 499_999)
    assert 123_456 in thin_x
    assert 345_678 in thin_x
    assert (np.diff(thin_x) > 0).all()
    assert_array_equal(y[thin_x.astype(int)], thin_y)  # measured points, nothing made up


def test_thinning_keeps_every_buckets_lowest_and_highest() -> None:
    x = np.arange(100.0)
    y = np.tile([0.0, 3, -2, 1, 0, 0, 0, 0, 0, 0], 10)
    thin_x, thin_y = thin(x, y, 22)
    assert set(thin_x) == {0, 99} | {10 * i + j for i in range(10) for j in (1, 2)}
    assert set(thin_y[1:-1]) == {3.0, -2.0}


def test_a_short_series_stays_as_it_is() -> None:
    x = np.arange(2000.0)
    assert thin(x, x)[0] is x


def test_smoothing_is_a_centred_mean_narrower_at_the_ends() -> None:
    assert_allclose(smooth(np.array([1.0, 2, 6, 4, 10]), window=3), [1.5, 3, 4, 20 / 3, 7])
    assert_allclose(smooth(np.full(1000, 4.0)), 4.0)


def test_points_without_value_are_dropped() -> None:
    x, y = finite(np.array([1.0, 2, 3]), np.array([np.nan, 5, np.inf]))
    assert (x.tolist(), y.tolist()) == ([2.0], [5.0])


def test_training_time_is_tokens_over_speed(tmp_path: Path) -> None:
    lines = [
        {"kind": "train", "stage": "a", "step": 10, "tokens": 1000, "tokens_per_second": 100},
        {"kind": "train", "stage": "a", "step": 20, "tokens": 3000, "tokens_per_second": 200},
        {"kind": "train", "stage": "b", "step": 10, "tokens": 4000, "tokens_per_second": 50},
    ]
    curves, _ = read_metrics(write(tmp_path, *lines))
    assert training_seconds(list(curves.values())) == 10 + 10 + 20
    assert training_seconds([]) == 0
