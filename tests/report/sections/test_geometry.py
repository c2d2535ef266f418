"""Figures 3 and 4: the plane and the histograms as the records have them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from anaume.evals.record import Record, save_record
from anaume.report.inputs import read_inputs
from anaume.report.sections import geometry

Write = Callable[..., None]


def a_run(folder: Path, placed: Write) -> None:
    """Two stages: s at steps 0, 2,000 and 4,000, t at step 100, far apart."""
    for stage, step, alignment in (("s", 0, 0.1), ("s", 2000, 0.3), ("s", 4000, 0.6), ("t", 100, 0.9)):
        place = {"stage": stage, "step": step, "tokens": step + 9000 * (stage == "t")}
        placed(folder, f"{stage}-step-{step}", alignment, -3 * alignment, checkpoint=place)


def test_checkpoints_are_joined_in_their_order_and_other_models_are_points(tmp_path: Path, placed: Write) -> None:
    a_run(tmp_path, placed)
    placed(tmp_path, "other", 0.4, -0.5)
    panel = geometry.plane(read_inputs([tmp_path]))
    assert panel is not None
    way, first, second, other = panel.lines
    np.testing.assert_allclose(way.y, [0.1, 0.3, 0.6, 0.9])
    np.testing.assert_allclose(way.x, [-0.3, -0.9, -1.8, -2.7])
    assert (way.name, way.role) == ("", "plain")
    assert (first.name, first.labels, first.y.tolist()) == ("s", ("0", "2k", "4k"), [0.1, 0.3, 0.6])
    assert (second.name, second.labels) == ("t", ("100",))
    assert (other.name, other.labels, other.x.tolist(), other.y.tolist()) == ("other", (), [-0.5], [0.4])
    assert len({line.role for line in panel.lines}) == 4
    assert "lower is better" in panel.x.title
    assert "lower is better" in panel.y.title


def test_a_label_that_would_cover_another_is_left_out(tmp_path: Path, placed: Write) -> None:
    for step, alignment in ((0, 0.0), (10, 0.5), (20, 0.98), (30, 0.99), (40, 1.0)):
        place = {"stage": "s", "step": step, "tokens": step}
        placed(tmp_path, f"s-step-{step}", alignment, -alignment, checkpoint=place)
    panel = geometry.plane(read_inputs([tmp_path]))
    assert panel is not None
    assert panel.lines[1].labels == ("0", "10", "", "", "40")
    assert len(panel.lines[1].x) == 5  # its marker stays


def test_a_histogram_a_model_on_one_axis(tmp_path: Path, placed: Write) -> None:
    placed(tmp_path, "a", 0.5, -1)
    placed(tmp_path, "b", 0.5, -1)
    first, second = geometry.histograms(read_inputs([tmp_path]))
    assert (first.title, first.note) == ("a", "overlap 0.250 · AUC 0.875")
    assert first.x.span == second.x.span == (0.2, 0.8)  # no pair lies outside
    random, positive = first.lines
    assert (random.role, positive.role) == ("random", "positive")
    np.testing.assert_allclose(positive.x, [0, 0.2, 0.4, 0.6, 0.8, 1])
    # Shares of the pairs for 0.01 of cosine; a bin is 0.2 wide.
    np.testing.assert_allclose(positive.y, np.array([0, 0, 0.25, 0.75, 0]) / 20)
    np.testing.assert_allclose(random.y, np.array([0, 0.5, 0.5, 0, 0]) / 20)
    assert first.id != second.id


def test_the_tables_have_the_records_numbers(tmp_path: Path, placed: Write) -> None:
    a_run(tmp_path, placed)
    placed(tmp_path, "other", 0.4, -0.5)
    inputs = read_inputs([tmp_path])
    plane, cosines = geometry.plane_table(inputs), geometry.cosine_table(inputs)
    assert plane is not None
    assert cosines is not None
    assert [column.title for column in plane.columns][1:] == ["Alignment", "Uniformity", "Uniformity, all pairs", "n"]
    assert [[cell.text for cell in row] for row in plane.rows][1::3] == [
        ["s, step 2,000", "0.300", "-0.900", "-1.025", "50"],
        ["other", "0.400", "-0.500", "-0.625", "50"],
    ]
    assert not any(cell.strong for row in plane.rows for cell in row)  # a collapsed model would win
    assert [column.title for column in cosines.columns][-3:] == ["Overlap", "AUC", "n"]
    assert len(cosines.rows) == 4  # step 0, the last of each stage, the other


def test_half_a_record_has_half_a_section(tmp_path: Path) -> None:
    save_record(Record("a", "geometry", {"alignment": 0.5}, 1, {}, 0, details=[{"low": 0.0, "high": 1.0}]), tmp_path)
    inputs = read_inputs([tmp_path])
    assert geometry.plane(inputs) is None
    assert geometry.histograms(inputs) == ()
    table = geometry.plane_table(inputs)
    assert table is not None
    assert [cell.text for cell in table.rows[0]] == ["a", "0.500", "1"]


def test_nothing_without_records(run: Path) -> None:
    inputs = read_inputs([run])
    assert geometry.plane(inputs) is None
    assert geometry.plane_table(inputs) is None
    assert geometry.cosine_table(inputs) is None
    assert geometry.histograms(inputs) == ()
