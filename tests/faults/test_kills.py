"""SIGKILL at random moments: the same command again ends in the same numbers, and nothing is left behind."""

import hashlib
import json
import random
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.faults import commands
from tests.faults.conftest import LONG, Work, addresses

from anaume.run import Run

# Fields of a metrics line that depend on the machine's speed.
TIMED = ("tokens_per_second", "mfu", "seconds")

Content = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """A command that makes a folder.

    `words`    the command's arguments, which write into the given folder
    `content`  what must be equal in the folders of an undisturbed and of a killed command
    `ranks`    processes that train together; all of them are killed
    """

    words: Callable[[Work, Path], list[object]]
    content: Callable[[Path], Content]
    ranks: int = 1


def checksums(folder: Path, *left_out: str) -> Content:
    """Name → SHA-256 of every file, except those of these names and locks."""
    names = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in (*left_out, ".lock"))
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in names}


def training(folder: Path) -> Content:
    """The weights and moments of every checkpoint, the tokens, and the lines of the metrics without timings."""
    run = Run(folder)
    lines = [json.loads(line) for line in run.metrics_file.read_text(encoding="utf-8").splitlines()]
    rows = [{key: value for key, value in line.items() if key not in TIMED} for line in lines]
    return {
        "metrics": rows,
        **checksums(run.checkpoints_folder),
        **checksums(folder / "tokens", "summary.json"),
    }


def records(folder: Path) -> Content:
    """The metrics of every evaluation record."""
    files = [path for path in folder.rglob("*.json") if not any(part[0] == "." for part in path.parts)]
    loaded = {str(path.relative_to(folder)): json.loads(path.read_text(encoding="utf-8")) for path in sorted(files)}
    return {name: record["metrics"] for name, record in loaded.items() if "metrics" in record}


def _tokens(work: Work, out: Path) -> list[object]:
    corpus = work.recipe.corpus.train[0].path
    return ["tokens", corpus, corpus, corpus, "--tokenizer", work.run.tokenizer, "--out", out, "--workers", 2]


def _pretrain(*options: object) -> Callable[[Work, Path], list[object]]:
    return lambda work, out: ["pretrain", work.recipe_file, "--run", out, *options]


def _grid(work: Work, out: Path) -> list[object]:
    options = ["--tasks", "jcola", "--learning-rates", "1e-3,2e-3", "--epochs", "1", "--seeds", 2]
    return ["eval", "jglue", work.export, "--data", work.tasks, *options, "--out", out]


JOBS: Mapping[str, Job] = {
    "tokens": Job(_tokens, lambda out: checksums(out, "summary.json")),
    "pretrain": Job(_pretrain(), training),
    "loaders": Job(_pretrain("--loaders", 2), training),
    "ranks": Job(_pretrain(), training, ranks=2),
    "grid": Job(_grid, records),
    "export": Job(lambda work, out: ["export", work.run.folder, "--out", out], checksums),
    "report": Job(lambda work, out: ["report", work.run.folder, "--out", out], lambda out: checksums(out / "tables")),
}
# Kills of each job: in the suite, and by `make faults`.
KILLS = dict.fromkeys(JOBS, (2, 50)) | {"pretrain": (4, 50), "loaders": (1, 30), "ranks": (1, 30), "grid": (1, 30)}


def launch(job: Job, work: Work, out: Path, log: Path) -> list[commands.Command]:
    """Start the job's command, once for each rank."""
    words = job.words(work, out)
    return [
        commands.start(words, log / str(rank), environment) for rank, environment in enumerate(addresses(job.ranks))
    ]


def finish(ranks: list[commands.Command], seconds: float) -> bool:
    """Whether all ranks end within `seconds`; if they do, they succeed.

    Raises:
        AssertionError: a rank failed.
    """
    end = time.monotonic() + seconds
    ended = [rank.wait(max(0.0, end - time.monotonic())) for rank in ranks]
    failures = [result for result in ended if result and result.status]
    assert not failures, failures
    return all(ended)


def leftovers(folder: Path) -> list[str]:
    """Files and folders under a temporary name."""
    return [str(path.relative_to(folder.parent)) for path in folder.parent.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize("name", JOBS)
def test_a_killed_command_ends_in_the_same_numbers(name: str, work: Work, tmp_path: Path) -> None:
    job, log = JOBS[name], tmp_path / "log"
    begin = time.monotonic()
    assert finish(launch(job, work, tmp_path / "straight" / "out", log), 300)
    seconds = time.monotonic() - begin
    expected = job.content(tmp_path / "straight" / "out")
    assert expected

    chance, kills = random.Random(name), 0
    while kills < KILLS[name][LONG]:
        folder = tmp_path / "killed"
        for moment in iter(lambda: chance.uniform(0, seconds), None):
            last = kills >= KILLS[name][LONG]
            ranks = launch(job, work, folder / "out", log)
            if finish(ranks, 300 if last else moment):
                break
            for rank in ranks:
                rank.kill()
            kills += 1
            assert [orphan for rank in ranks for orphan in rank.orphans()] == []
        assert job.content(folder / "out") == expected
        assert leftovers(folder / "out") == []
        shutil.rmtree(folder)
