"""The text that training read: the counts of each stage's last line in metrics.jsonl."""

import json
from pathlib import Path
from typing import Any

from anaume.report.inputs import ReportInput, read_inputs
from anaume.report.sections.made_of import read
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


def a_run(folder: Path, *lines: dict[str, Any], tail: str = "") -> ReportInput:
    (folder / "recipe.toml").write_text(RECIPE)
    text = "".join(json.dumps({"kind": "train", "loss": 1.0} | line) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text + tail)
    (entry,) = read_inputs([folder])
    return entry


def rows(table: Table | None) -> list[list[str]]:
    assert table is not None
    return [[cell.text for cell in row] for row in table.rows]


def test_the_last_line_of_each_stage_tells_what_it_read(tmp_path: Path) -> None:
    entry = a_run(
        tmp_path,
        {"stage": "one", "step": 1, "source_tokens": [1, 1, 1], "length_tokens": [3, 0, 0, 0, 0]},
        {"stage": "one", "step": 2, "source_tokens": [600, 300, 100], "length_tokens": [1000, 0, 0, 0, 0]},
        {"stage": "two", "step": 1, "source_tokens": [10, 0, 30], "length_tokens": [8, 12, 20, 0, 0]},
        tail='{"kind": "train", "stage": "two", "step": 2, "source_tok',
    )
    assert rows(read.sources_read(entry)) == [
        ["one", "data/*.jsonl.gz", "2", "600", "60.0%"],
        ["one", "wikimedia/wikipedia", "1", "300", "30.0%"],
        ["one", "hakoniwa, built in", "0.5", "100", "10.0%"],
        ["two", "data/*.jsonl.gz", "2", "10", "25.0%"],
        ["two", "wikimedia/wikipedia", "1", "0", "0.0%"],
        ["two", "hakoniwa, built in", "0.5", "30", "75.0%"],
    ]
    assert rows(read.lengths_read(entry)) == [
        ["one", "[0, 1024]", "–", "1,000", "100.0%"],
        ["two", "[0, 1024]", "25.0%", "8", "20.0%"],
        ["two", "(1024, 2048]", "25.0%", "12", "30.0%"],
        ["two", "(2048, 4096]", "50.0%", "20", "50.0%"],
        ["two", "(4096, 8192]", "0.0%", "0", "0.0%"],
    ]


def test_without_wanted_shares_there_is_no_column_for_them(tmp_path: Path) -> None:
    entry = a_run(tmp_path, {"stage": "one", "step": 1, "length_tokens": [3, 1, 0, 0, 0]})
    table = read.lengths_read(entry)
    assert rows(table) == [["one", "[0, 1024]", "3", "75.0%"], ["one", "(1024, 2048]", "1", "25.0%"]]
    assert table is not None
    assert [column.title for column in table.columns] == ["Stage", "Length", "Tokens", "Share"]


def test_lines_of_an_older_run_tell_nothing(run: Path) -> None:
    (entry,) = read_inputs([run])
    assert set(entry.last_lines) == {"short", "long"}
    assert entry.last_lines["long"]["step"] == 20
    assert read.sources_read(entry) is None
    assert read.lengths_read(entry) is None
