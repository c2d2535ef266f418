"""The comparison of both sides, each in a process of its own, and the command line's mistakes."""

import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from anaume import cli
from anaume.bench import compare
from anaume.bench.compare import bench, measure_in_child
from anaume.bench.rounds import SIDES, BenchJob, Round, Step
from anaume.errors import UserError
from anaume.recipe import Recipe


@pytest.mark.slow
def test_all_sides_run_in_processes(selected: Recipe, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """One round in float32, which every CPU multiplies fast."""
    out = tmp_path / "bench.json"
    plain = selected.model_copy(update={"precision": "float32"})
    result: Any = bench(plain, rows=3, seconds=0, rounds=1, out=out)
    assert json.loads(out.read_text(encoding="utf-8")) == json.loads(json.dumps(result))
    assert [measured["side"] for measured in result["rounds"]] == list(SIDES)
    for measured in result["rounds"]:
        assert min(measured["peaks"]) > 1e8
        assert measured["memory"] > 1e8
    printed = capfd.readouterr()
    assert "MFU" in printed.out
    assert "round 1 of 1: anaume: " in printed.err


@pytest.mark.parametrize(("process_seconds", "expected"), [(33.0, 3), (100.0, 1)])
def test_the_budget_of_a_side_holds_for_all_rounds_together(
    process_seconds: float, expected: int, selected: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three rounds of 5 s have time for three processes of 3 s beside their start, and for one of 70 s."""
    seconds = 0.0
    measured = []

    def measure(job: BenchJob) -> Round:
        nonlocal seconds
        seconds += process_seconds
        measured.append(job.side)
        return Round(job.side, "float32", [Step(1.0, 10, 10, 1.0, 1.0)], (1.0, 1.0), 1, "cpu", 1)

    monkeypatch.setattr(compare, "measure_in_child", measure)
    monkeypatch.setattr(compare, "prepare", lambda *_: SimpleNamespace(tokenizer=SimpleNamespace(vocab_size=512)))
    monkeypatch.setattr(time, "perf_counter", lambda: seconds)
    bench(selected, rows=3, seconds=5.0, rounds=3, out=None)
    assert measured == list(SIDES) * expected


def test_a_stock_loop_that_fails_is_left_out_of_later_rounds(selected: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []

    def measure(job: BenchJob) -> Round:
        measured.append(job.side)
        if job.side == "padded":
            raise UserError("padded stock loop: its memory was not enough")
        return Round(job.side, "float32", [Step(1.0, 10, 10, 1.0, 1.0)], (1.0, 1.0), 1, "cpu", 1)

    monkeypatch.setattr(compare, "measure_in_child", measure)
    monkeypatch.setattr(compare, "prepare", lambda *_: SimpleNamespace(tokenizer=SimpleNamespace(vocab_size=512)))
    result = bench(selected, rows=3, seconds=5.0, rounds=2, out=None)
    assert measured == [*SIDES, "grouped", "anaume"]
    assert result["failures"] == {"padded": "padded stock loop: its memory was not enough"}
    assert set(result["sides"]) == {"grouped", "anaume"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "message"),
    [("exit 1", "ended with status 1: see its message"), ("kill -KILL $$", "ended with status -9: its memory")],
)
def test_a_side_that_fails_is_one_line(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    with pytest.raises(UserError, match=f"padded stock loop: {message} .* fewer --rows than 8"):
        measure_in_child(BenchJob("padded", {}, "", 8, 0, 0, str(tmp_path / "out")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("absent.toml", "absent.toml: cannot read the recipe"),
        ("--stage second", "--stage second: not in the recipe; expected one of stage1"),
        ("--corpus absent*.jsonl", "absent*.jsonl"),
        ("--tokenizer absent/folder/here", "absent/folder/here"),
        ("--hidden 97", "model: heads = 1 with hidden = 97"),
    ],
)
def test_a_mistake_is_one_line(
    options: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["anaume", "bench", *options.split()])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.strip().splitlines()[-1].startswith("anaume: ")
