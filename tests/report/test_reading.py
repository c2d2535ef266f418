"""Lengths of documents and what training read: the counts of the summary and of metrics.jsonl."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anaume.report import reading
from anaume.report.sources import Source, read_sources
from anaume.report.tables import Table

RECIPE = """name = "r"
[[corpus.train]]
path = "data/*.jsonl.gz"
hub = ""
builtin = ""
weight = 2.0
[[corpus.train]]
path = ""
hub = "wikimedia/wikipedia"
builtin = ""
[[corpus.train]]
path = ""
hub = ""
builtin = "hakoniwa"
weight = 0.5
[[stage]]
name = "one"
[[stage]]
name = "two"
length_shares = [0.25, 0.25, 0.5, 0.0]
"""


def histogram(*counts: int) -> dict[str, Any]:
    """A summary with bins of 128 tokens up to 8,192, then one for longer documents."""
    rows = [
        {"low": 128 * i, "high": 128 * (i + 1), "documents": n}
        for i, n in enumerate([*counts[:-1], *[0] * (65 - len(counts))])
    ]
    last = {"low": 8192, "high": None, "documents": counts[-1]}
    return {"length_histogram": [*rows, last], "length_quantiles": {"0.5": 130, "1": 20000}}


def a_run(folder: Path, *lines: dict[str, Any], tail: str = "") -> Source:
    (folder / "recipe.toml").write_text(RECIPE)
    text = "".join(json.dumps({"kind": "train", "loss": 1.0} | line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + tail)
    (source,) = read_sources([folder])
    return source


def rows(table: Table | None) -> list[list[str]]:
    assert table is not None
    return [[cell.text for cell in row] for row in table.rows]


def test_the_histogram_is_the_summarys_with_a_bar_for_what_is_longer(tmp_path: Path) -> None:
    (tmp_path / "tokens" / "train").mkdir(parents=True)
    (tmp_path / "tokens" / "train" / "summary.json").write_text(json.dumps(histogram(5, 3, 1, 7)))
    source = a_run(tmp_path)
    panel = reading.length_panel(source, "-2")
    assert panel is not None
    assert panel.id == "document-lengths-2"
    assert panel.note == "half have up to 130, the longest has 20,000 tokens"
    bins, longer = panel.lines
    np.testing.assert_array_equal(bins.x, np.arange(65) * 128)
    np.testing.assert_array_equal(bins.y, [5, 3, 1] + [0] * 61)
    assert (longer.name, longer.y.tolist()) == ("longer than 8,192 tokens: 7", [7])
    assert longer.x[0] > 8192
    assert not panel.y.log
    assert rows(reading.lengths(source)) == [["[0, 1024]", "9", "56.2%"], ["(8192, …)", "7", "43.8%"]]


def test_a_long_tail_is_shown_on_a_logarithmic_axis() -> None:
    panel = reading.length_panel(Source("s", summary=histogram(5000, 3, 0)))
    assert panel is not None
    assert panel.y.log
    assert len(panel.lines) == 1  # nothing is longer
    assert {value for value, _ in panel.y.ticks} >= {10, 100, 1000}


def test_narrow_bins_are_counted_in_the_papers() -> None:
    counts = [0] * 65
    for place, count in ((7, 1), (8, 2), (15, 4), (16, 8), (31, 16), (32, 32), (63, 64), (64, 128)):
        counts[place] = count
    table = reading.lengths(Source("s", summary=histogram(*counts)))
    assert [row[:2] for row in rows(table)] == [
        ["[0, 1024]", "1"],
        ["(1024, 2048]", "6"],
        ["(2048, 4096]", "24"],
        ["(4096, 8192]", "96"],
        ["(8192, …)", "128"],
    ]


@pytest.mark.parametrize("summary", [{}, {"length_histogram": []}, {"length_quantiles": {"0.5": 1}}])
def test_a_summary_without_lengths_shows_none(summary: dict[str, Any]) -> None:
    assert reading.length_panel(Source("s", summary=summary)) is None
    assert reading.lengths(Source("s", summary=summary)) is None


def test_the_last_line_of_each_stage_tells_what_it_read(tmp_path: Path) -> None:
    source = a_run(
        tmp_path,
        {"stage": "one", "step": 1, "source_tokens": [1, 1, 1], "length_tokens": [3, 0, 0, 0, 0]},
        {"stage": "one", "step": 2, "source_tokens": [600, 300, 100], "length_tokens": [1000, 0, 0, 0, 0]},
        {"stage": "two", "step": 1, "source_tokens": [10, 0, 30], "length_tokens": [8, 12, 20, 0, 0]},
        tail='{"kind": "train", "stage": "two", "step": 2, "source_tok',
    )
    assert rows(reading.sources_read(source)) == [
        ["one", "data/*.jsonl.gz", "2", "600", "60.0%"],
        ["one", "wikimedia/wikipedia", "1", "300", "30.0%"],
        ["one", "hakoniwa, built in", "0.5", "100", "10.0%"],
        ["two", "data/*.jsonl.gz", "2", "10", "25.0%"],
        ["two", "wikimedia/wikipedia", "1", "0", "0.0%"],
        ["two", "hakoniwa, built in", "0.5", "30", "75.0%"],
    ]
    assert rows(reading.lengths_read(source)) == [
        ["one", "[0, 1024]", "–", "1,000", "100.0%"],
        ["two", "[0, 1024]", "25.0%", "8", "20.0%"],
        ["two", "(1024, 2048]", "25.0%", "12", "30.0%"],
        ["two", "(2048, 4096]", "50.0%", "20", "50.0%"],
        ["two", "(4096, 8192]", "0.0%", "0", "0.0%"],
    ]


def test_without_wanted_shares_there_is_no_column_for_them(tmp_path: Path) -> None:
    source = a_run(tmp_path, {"stage": "one", "step": 1, "length_tokens": [3, 1, 0, 0, 0]})
    table = reading.lengths_read(source)
    assert rows(table) == [["one", "[0, 1024]", "3", "75.0%"], ["one", "(1024, 2048]", "1", "25.0%"]]
    assert table is not None
    assert [column.title for column in table.columns] == ["Stage", "Length", "Tokens", "Share"]


def test_lines_of_an_older_run_tell_nothing(run: Path) -> None:
    (source,) = read_sources([run])
    assert set(source.last_lines) == {"short", "long"}
    assert source.last_lines["long"]["step"] == 20
    assert reading.sources_read(source) is None
    assert reading.lengths_read(source) is None
    assert reading.length_panel(source) is None
