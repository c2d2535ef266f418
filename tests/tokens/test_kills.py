"""Builds survive SIGKILL at any moment: no partial shard stays, no shard is lost or made twice, no process is left."""

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

pytestmark = pytest.mark.slow

FILES, DOCUMENTS = 12, 150


def content(folder: Path) -> dict[str, bytes]:
    """Content of every file of a folder of tokens but the summary, which holds times."""
    files = {str(path.relative_to(folder)): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in sorted(files.items()) if name != "summary.json"}


def whole(out: Path) -> int:
    """Number of whole shards of the first source."""
    return len(list(out.glob("source-0/*/header.json")))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Files that take long enough to encode for a kill to fall between two shards."""
    folder = tmp_path_factory.mktemp("large")
    for number in range(FILES):
        chance = random.Random(number)
        words = ["".join(chance.choices("東京都の人口について調べた。", k=6)) for _ in range(300)]
        rows = ({"text": "".join(chance.choices(words, k=400))} for _ in range(DOCUMENTS))
        (folder / f"{number}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Source.model_validate({"path": f"{folder}/*.jsonl"})


@pytest.fixture(scope="module")
def straight(large: Source, trained: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of tokens that one process made of the files without a stop."""
    out = tmp_path_factory.mktemp("straight") / "tokens"
    build([large], trained, out)
    return out


def command(source: Source, tokenizer: Tokenizer, out: Path, workers: int) -> list[str]:
    words = ["tokens", source.path, "--tokenizer", tokenizer.folder, "--out", out, "--workers", workers]
    return [sys.executable, "-m", "anaume", *map(str, words)]


def wait_for_shard(process: subprocess.Popen[bytes], out: Path, before: int = 0) -> list[psutil.Process]:
    """Wait until there are more than `before` whole shards or the process has ended; return its children."""
    deadline = time.monotonic() + 120
    while process.poll() is None and whole(out) <= before:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    return psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_build_is_resumed(
    large: Source, straight: Path, trained: Tokenizer, tmp_path: Path, workers: int
) -> None:
    out = tmp_path / "killed"
    words = command(large, trained, out, workers)
    partial_builds = 0
    for _ in range(3):
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        children = wait_for_shard(process, out, whole(out))
        process.kill()
        assert process.wait() in (0, -signal.SIGKILL)
        partial_builds += whole(out) < FILES
        assert not psutil.wait_procs(children, timeout=60)[1]
    assert partial_builds >= 2
    finished = subprocess.run(words, capture_output=True, text=True, check=True)
    expected = json.loads((straight / "summary.json").read_text())
    summary = json.loads((out / "summary.json").read_text())
    assert summary["documents"] == expected["documents"] == FILES * DOCUMENTS
    assert 0 < summary["encoded_tokens"] < expected["tokens"]
    assert f"{expected['tokens']:,} tokens" in finished.stdout
    assert content(out) == content(straight)
    assert verify(out, trained.vocabulary_hash) == []


def test_two_builds_at_once_make_each_shard_once(
    large: Source, straight: Path, trained: Tokenizer, tmp_path: Path
) -> None:
    words = command(large, trained, tmp_path / "both", 2)
    processes = [subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert content(tmp_path / "both") == content(straight)


def test_an_interrupt_ends_every_process_quietly(large: Source, trained: Tokenizer, tmp_path: Path) -> None:
    words = command(large, trained, tmp_path / "out", 2)
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    children = wait_for_shard(process, tmp_path / "out")
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does
    error = process.communicate()[1].decode()
    assert process.returncode == 130
    assert "Traceback" not in error
    assert not psutil.wait_procs(children, timeout=60)[1]
