"""Figure 2: documents and bins as the records have them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anaume.evals.record import Record, save_record
from anaume.report.inputs import read_inputs
from anaume.report.sections import pseudo_perplexity
from anaume.report.tables import Table

Write = Callable[..., None]


def test_the_table_has_the_bins_from_short_to_long_and_bits_per_character(tmp_path: Path, by_length: Write) -> None:
    by_length(tmp_path, "a", 1)
    by_length(tmp_path, "b", 2)
    table = pseudo_perplexity.table(read_inputs([tmp_path]))
    assert table is not None
    titles = [column.title for column in table.columns]
    assert titles == ["Model", "[0, 1024]", "(1024, 2048]", "all", "Bits per character", "n"]
    assert [[cell.text for cell in row] for row in table.rows] == [
        ["a", "2.750", "5.500", "4.250", "1.500", "4"],
        ["b", "5.500", "11.000", "8.500", "3.000", "4"],
    ]
    assert strong(table) == [("a", "all"), ("a", "Bits per character")]
    assert "Kauf and Ivanova 2023, arXiv 2305.10588" in table.caption
    assert table.caution == ""


def test_the_documents_of_each_bin_are_counted(tmp_path: Path, by_length: Write) -> None:
    by_length(tmp_path, "a", 1)
    counts = pseudo_perplexity.documents_table(read_inputs([tmp_path]))
    assert counts is not None
    assert [column.title for column in counts.columns] == ["Model", "[0, 1024]", "(1024, 2048]"]
    lengths, _ = pseudo_perplexity.documents(read_inputs([tmp_path])[0].others[0])
    expected = [int((lengths <= 1024).sum()), int(((lengths > 1024) & (lengths <= 2048)).sum())]
    assert [cell.text for cell in counts.rows[0]] == ["a", *map(str, expected)]
    assert sum(expected) == 4


def strong(table: Table) -> list[tuple[str, str]]:
    """(model, column) of the bold cells."""
    titles = [column.title for column in table.columns]
    return [(row[0].text, titles[i]) for row in table.rows for i, cell in enumerate(row) if cell.strong]


def test_over_two_tokenizers_bits_per_character_alone_have_a_best(tmp_path: Path, by_length: Write) -> None:
    by_length(tmp_path, "a", 1, longer=7)
    by_length(tmp_path, "b", 2)
    table = pseudo_perplexity.table(read_inputs([tmp_path]))
    assert table is not None
    assert strong(table) == [("a", "Bits per character")]


@pytest.mark.parametrize(
    ("drawn", "sentence"),
    [
        (["d1", "d2"], "Documents drawn: no two models have the same set."),
        (["d1", "d2", "d1"], "Documents drawn: own sets for b; one set for all others."),
        (["d1", "d2", "d3", "d1"], "Documents drawn: own sets for b and c; one set for all others."),
        (["d1", "d2", "d1", "d2"], "Documents drawn: one set for b and d; one set for all others."),
        (["d1", ""], "Documents drawn: own sets for a; not recorded for b."),
        (["", ""], "Documents drawn: not recorded."),
    ],
)
def test_models_that_were_not_asked_about_the_same_documents_have_no_best(
    tmp_path: Path, by_length: Write, drawn: list[str], sentence: str
) -> None:
    for factor, (name, checksum) in enumerate(zip("abcd", drawn, strict=False), start=1):
        by_length(tmp_path, name, factor, drawn=checksum)
    table = pseudo_perplexity.table(read_inputs([tmp_path]))
    assert table is not None
    assert strong(table) == []
    assert sentence in table.caution


def test_dots_are_documents_and_the_line_their_bins_at_their_mean_length(tmp_path: Path, by_length: Write) -> None:
    by_length(tmp_path, "a", 1)
    by_length(tmp_path, "b", 2)
    panel = pseudo_perplexity.panel(read_inputs([tmp_path]))
    assert panel is not None
    assert panel.y.log
    assert [edge for edge, _ in panel.x.ticks] == [0, 1024, 2048]
    assert [line.style for line in panel.lines] == ["dots", "dots", "points", "points"]
    dots, other_dots, line, other = panel.lines
    assert (dots.role, line.role) == ("series1", "series1")
    assert (other_dots.role, other.role) == ("series2", "series2")
    np.testing.assert_array_equal(dots.x, [100, 300, 1200, 2000])
    np.testing.assert_array_equal(dots.y, [2, 4, 5, 6])
    np.testing.assert_array_equal(line.x, [200, 1600])
    np.testing.assert_array_equal(line.y, [2.75, 5.5])
    np.testing.assert_array_equal(other.y, [5.5, 11])


def test_half_a_record_is_drawn_by_half(tmp_path: Path) -> None:
    details: list[dict[str, Any]] = [
        {"tokens": 5},
        {"tokens": 7, "pseudo_perplexity": 3.0},
        {"tokens": 9, "pseudo_perplexity": None},
    ]
    save_record(Record("dots", "pseudo-perplexity", {}, 1, {}, 0, details=details), tmp_path)
    metrics = {"pseudo_perplexity (2048, 4096]": 8.0, "pseudo_perplexity (8192, …)": 9.0}
    save_record(Record("line", "pseudo-perplexity", metrics, 1, {}, 0), tmp_path)
    panel = pseudo_perplexity.panel(read_inputs([tmp_path]))
    assert panel is not None
    assert [(line.name, line.style, line.x.tolist(), line.y.tolist()) for line in panel.lines] == [
        ("dots", "dots", [7], [3]),
        ("dots", "points", [], []),
        ("line", "points", [3072], [8]),  # in the middle of its bin; the last one has none
    ]


def test_many_documents_are_thinned_evenly_and_the_page_says_so(tmp_path: Path) -> None:
    details = [{"tokens": i, "pseudo_perplexity": 2.0} for i in range(1, 2001)]
    for name in "abcdefgh":
        save_record(Record(name, "pseudo-perplexity", {}, 2000, {}, 0, details=details), tmp_path)
    inputs = read_inputs([tmp_path])
    panel = pseudo_perplexity.panel(inputs)
    assert panel is not None
    dots = [line for line in panel.lines if line.style == "dots"]
    assert len(dots) == 6
    assert sum(len(line.x) for line in dots) <= pseudo_perplexity.DOTS
    assert (np.diff(dots[0].x) == 7).all()
    lead = pseudo_perplexity.lead(inputs)
    assert "At most 1,800 dots are drawn" in lead
    assert "the first 6 of 8 models" in lead


def test_step_0_is_in_the_table_only(tmp_path: Path, by_length: Write) -> None:
    for step in (0, 9):
        place = {"stage": "s", "step": step, "tokens": step}
        by_length(tmp_path, f"s-step-{step}", 1 + step, checkpoint=place)
    inputs = read_inputs([tmp_path])
    panel, table = pseudo_perplexity.panel(inputs), pseudo_perplexity.table(inputs)
    assert panel is not None
    assert table is not None
    assert len(table.rows) == 2
    assert [line.y.tolist() for line in panel.lines if line.style == "points"] == [[27.5, 55]]


@pytest.mark.parametrize("task", ["retrieval", "pseudo-perplexity"])
def test_nothing_to_show(tmp_path: Path, task: str) -> None:
    save_record(Record("a", task, {}, 0, {}, 0), tmp_path)
    inputs = read_inputs([tmp_path])
    assert pseudo_perplexity.panel(inputs) is None
    assert (pseudo_perplexity.table(inputs) is None) == (task == "retrieval")


def test_pseudo_perplexity_over_the_checkpoints_is_a_training_chart(run: Path, by_length: Write) -> None:
    for stage, step, factor in (("short", 0, 1000), ("short", 40, 2), ("long", 20, 1)):
        place = {"stage": stage, "step": step, "tokens": step}
        by_length(run / "evals", f"{stage}-step-{step:07d}", factor, checkpoint=place)
    (panel,) = pseudo_perplexity.over_steps(read_inputs([run])[0])
    (line,) = panel.lines
    assert panel.id == "pseudo-perplexity-steps"
    assert panel.y.log
    np.testing.assert_array_equal(line.x, [0, 40, 60])
    np.testing.assert_array_equal(line.y, [4250, 8.5, 4.25])
