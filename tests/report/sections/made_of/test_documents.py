"""Lengths of documents: the counts of the summary of the training tokens."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anaume.report.inputs import ReportInput, read_inputs
from anaume.report.sections.made_of import documents
from anaume.report.tables import Table


def histogram(*counts: int) -> dict[str, Any]:
    """A summary with bins of 128 tokens up to 8,192, then one for longer documents."""
    rows = [
        {"low": 128 * i, "high": 128 * (i + 1), "documents": n}
        for i, n in enumerate([*counts[:-1], *[0] * (65 - len(counts))])
    ]
    last = {"low": 8192, "high": None, "documents": counts[-1]}
    return {"length_histogram": [*rows, last], "length_quantiles": {"0.5": 130, "1": 20000}}


def rows(table: Table | None) -> list[list[str]]:
    assert table is not None
    return [[cell.text for cell in row] for row in table.rows]


def test_the_histogram_has_a_bar_for_longer_documents(run: Path, summarized: Callable[..., None]) -> None:
    summarized(run, histogram(5, 3, 1, 7))
    (entry,) = read_inputs([run])
    panel = documents.length_panel(entry, "-2")
    assert panel is not None
    assert panel.id == "document-lengths-2"
    assert panel.note == "half have up to 130, the longest has 20,000 tokens"
    bins, longer = panel.lines
    np.testing.assert_array_equal(bins.x, np.arange(65) * 128)
    np.testing.assert_array_equal(bins.y, [5, 3, 1] + [0] * 61)
    assert (longer.name, longer.y.tolist()) == ("longer than 8,192 tokens: 7", [7])
    assert longer.x[0] > 8192
    assert not panel.y.log
    assert rows(documents.lengths(entry)) == [["[0, 1024]", "9", "56.2%"], ["(8192, …)", "7", "43.8%"]]


def test_a_long_tail_is_shown_on_a_logarithmic_axis() -> None:
    panel = documents.length_panel(ReportInput("s", summary=histogram(5000, 3, 0)))
    assert panel is not None
    assert panel.y.log
    assert len(panel.lines) == 1  # nothing is longer
    assert {value for value, _ in panel.y.ticks} >= {10, 100, 1000}


def test_narrow_bins_are_counted_in_the_papers() -> None:
    counts = [0] * 65
    for place, count in ((7, 1), (8, 2), (15, 4), (16, 8), (31, 16), (32, 32), (63, 64), (64, 128)):
        counts[place] = count
    table = documents.lengths(ReportInput("s", summary=histogram(*counts)))
    assert [row[:2] for row in rows(table)] == [
        ["[0, 1024]", "1"],
        ["(1024, 2048]", "6"],
        ["(2048, 4096]", "24"],
        ["(4096, 8192]", "96"],
        ["(8192, …)", "128"],
    ]


@pytest.mark.parametrize("summary", [{}, {"length_histogram": []}, {"length_quantiles": {"0.5": 1}}])
def test_a_summary_without_lengths_shows_none(summary: dict[str, Any]) -> None:
    assert documents.length_panel(ReportInput("s", summary=summary)) is None
    assert documents.lengths(ReportInput("s", summary=summary)) is None
