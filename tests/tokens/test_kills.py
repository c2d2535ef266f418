"""SIGKILL at any moment: nothing half-made stays, nothing is lost or made twice, no process is left behind."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from anaume.corpus.source import Source
from anaume.tokenizer.load import Tokenizer
from anaume.tokens.build import build, verify

FILES = 12


def content(folder: Path) -> dict[str, bytes]:
    """Every file of a folder of tokens but the summary, which tells of seconds."""
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(found.items()) if name != "summary.json"}


def whole(out: Path) -> int:
    return len(list(out.glob("source-0/*/header.json")))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Files that take long enough to be killed in."""
    folder = tmp_path_factory.mktemp("large")
    for number in range(FILES):
        chance = random.Random(number)
        words = ["".join(chance.choices("東京都の人口について調べた。", k=6)) for _ in range(300)]
        rows = ({"text": "".join(chance.choices(words, k=200))} for _ in range(300))
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Source.model_validate({"path": f"{folder}/*.jsonl"})


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_job_goes_on_where_it_was(large: Source, trained: Tokenizer, tmp_path: Path, workers: str) -> None:
    straight = build([large], trained, tmp_path / "straight")
    out = tmp_path / "killed"
    words = ["tokens", large.path, "--tokenizer", trained.folder, "--out", out, "--workers", workers]
    command = [sys.executable, "-m", "anaume", *map(str, words)]
    hits = 0
    for _ in range(4):
        before = whole(out)
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and whole(out) <= before:
            time.sleep(0.002)
        processes = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        assert process.wait() in (0, -signal.SIGKILL)
        hits += whole(out) < FILES
        _, alive = psutil.wait_procs(processes, timeout=60)
        assert not alive
    assert hits >= 2
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["documents"] == straight.documents == FILES * 300
    assert 0 < summary["encoded_tokens"] < straight.tokens
    assert f"{straight.tokens:,} tokens" in done.stdout
    assert content(out) == content(tmp_path / "straight")
    assert verify(out, trained.vocabulary_hash) == []


def test_two_jobs_at_once_make_each_part_once(large: Source, trained: Tokenizer, tmp_path: Path) -> None:
    words = ["tokens", large.path, "--tokenizer", trained.folder, "--out", tmp_path / "both", "--workers", "2"]
    command = [sys.executable, "-m", "anaume", *map(str, words)]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    build([large], trained, tmp_path / "straight")
    assert content(tmp_path / "both") == content(tmp_path / "straight")


def test_interrupting_it_ends_all_of_it_quietly(large: Source, trained: Tokenizer, tmp_path: Path) -> None:
    words = ["tokens", large.path, "--tokenizer", trained.folder, "--out", tmp_path / "out", "--workers", "2"]
    command = [sys.executable, "-m", "anaume", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    while process.poll() is None and not whole(tmp_path / "out"):
        time.sleep(0.002)
    processes = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does
    error = process.communicate()[1].decode()
    assert process.returncode == 130
    assert "Traceback" not in error
    assert not psutil.wait_procs(processes, timeout=60)[1]
