"""An error at any point of a run ends every process of every rank within seconds, with the promised exit status."""

import errno
import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from tests.faults import commands
from tests.faults.commands import Ended, Fault
from tests.faults.conftest import LONG, Work, addresses

from anaume.errors import UserError
from anaume.run import Run

# Seconds in which every process has ended. The trials share two cores with other tests, and a loader starts in six.
PATIENCE = 60
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.safetensors")
MISTAKE = UserError("corpus: bad: a mistake; expected none")
LOOP = "anaume.pretrain.loop"

# Point → the error there, the exit status, and what the failing rank says.
POINTS = {
    "preparing": (Fault(LOOP, "prepare", 1, MISTAKE), 2, "anaume: corpus: bad: a mistake; expected none"),
    "network": (Fault(LOOP, "_network", 1, RuntimeError("no network")), 1, "RuntimeError: no network"),
    "batch": (Fault("anaume.batches.loader", "_assemble", 3, MISTAKE), 2, "anaume: corpus: bad: a mistake"),
    "step": (Fault(LOOP, "update", 2, RuntimeError("no step")), 1, "RuntimeError: no step"),
    "validation": (Fault(LOOP, "validate_all", 2, MISTAKE), 2, "anaume: corpus: bad: a mistake"),
    "save": (Fault("anaume.pretrain.checkpoint", "write", 2, FULL), 2, "No space left on device"),
}
# Points that the main rank alone passes, and points inside the loaders, which the injection does not reach.
MAIN_ONLY, IN_LOADERS = {"save"}, {"batch"}
# (point, loaders, ranks, failing rank)
SHORT = [("preparing", 0, 2, 1), ("step", 2, 2, 1), ("save", 0, 2, 0)]
ALL = [
    (point, loaders, ranks, failing)
    for point in POINTS
    for loaders in (0, 2)
    for ranks, failing in ((1, 0), (2, 0), (2, 1))
    if not (point in MAIN_ONLY and failing) and not (point in IN_LOADERS and loaders)
]


def all_ended(processes: list[commands.Command], seconds: float) -> list[Ended]:
    """The commands after their end. Processes that still run are killed, and the test fails."""
    end = time.monotonic() + seconds
    ended = [process.wait(max(0.0, end - time.monotonic())) for process in processes]
    for process, result in zip(processes, ended, strict=True):
        if result is None:
            process.kill()
    orphans = [orphan for process in processes for orphan in process.orphans()]
    assert None not in ended, f"still running: {ended}"
    assert orphans == []
    return [result for result in ended if result]


@pytest.mark.parametrize(("point", "loaders", "ranks", "failing"), ALL if LONG else SHORT)
def test_an_error_ends_every_rank(
    point: str, loaders: int, ranks: int, failing: int, work: Work, tmp_path: Path
) -> None:
    fault, status, message = POINTS[point]
    words = ["pretrain", work.recipe_file, "--run", tmp_path / "run", "--loaders", loaders]
    processes = [
        commands.start(words, tmp_path / str(rank), environment, fault if rank == failing else None)
        for rank, environment in enumerate(addresses(ranks))
    ]
    ended = all_ended(processes, PATIENCE)
    assert [result.status for result in ended] == [status] * ranks, ended
    assert message in ended[failing].err
    for rank, result in enumerate(ended):
        if rank != failing:
            assert result.err.strip().endswith(f"rank {rank}: ends, because rank {failing} failed; see its message")


@pytest.mark.parametrize("ranks", [1, 2] if LONG else [1])
def test_the_death_of_a_loader_ends_the_run(ranks: int, work: Work, tmp_path: Path) -> None:
    """The second of two loaders is killed, as the kernel does when memory runs out."""
    words = ["pretrain", work.recipe_file, "--run", tmp_path / "run", "--loaders", 2]
    words += ["--set", "stage.first.steps=100000", "--set", "stage.first.save_every=100000"]
    processes = [
        commands.start(words, tmp_path / str(rank), environment) for rank, environment in enumerate(addresses(ranks))
    ]
    metrics, end = Run(tmp_path / "run").metrics_file, time.monotonic() + PATIENCE
    while not (metrics.exists() and b'"train"' in metrics.read_bytes()) and time.monotonic() < end:
        assert processes[0].wait(0.1) is None
    loaders = [
        child
        for child in psutil.Process(processes[-1].process.pid).children()
        if "spawn_main" in " ".join(child.cmdline())
    ]
    assert len(loaders) == 2
    loaders[1].send_signal(signal.SIGKILL)
    ended = all_ended(processes, PATIENCE)
    assert [result.status for result in ended] == [2] * ranks, ended
    assert "a process that makes batches ended" in ended[-1].err.splitlines()[-1]


def test_a_killed_rank_ends_the_other(work: Work, tmp_path: Path) -> None:
    words = ["pretrain", work.recipe_file, "--run", tmp_path / "run", "--set", "stage.first.steps=100000"]
    processes = [
        commands.start(words, tmp_path / str(rank), environment) for rank, environment in enumerate(addresses(2))
    ]
    metrics, end = Run(tmp_path / "run").metrics_file, time.monotonic() + PATIENCE
    while not (metrics.exists() and b'"train"' in metrics.read_bytes()) and time.monotonic() < end:
        assert processes[0].wait(0.1) is None
    processes[1].kill()
    (ended,) = all_ended(processes[:1], PATIENCE)
    assert ended.status == 2, ended
    assert "lost the connection to another rank" in ended.err.splitlines()[-1]


def test_ctrl_c_saves_and_a_second_one_ends_at_once(work: Work, tmp_path: Path) -> None:
    words = ["pretrain", work.recipe_file, "--run", tmp_path / "run", "--set", "stage.first.steps=100000"]
    words += ["--set", "stage.first.save_every=100000"]
    command = commands.start(words, tmp_path / "log")
    metrics, end = Run(tmp_path / "run").metrics_file, time.monotonic() + PATIENCE
    while not (metrics.exists() and b'"train"' in metrics.read_bytes()) and time.monotonic() < end:
        assert command.wait(0.05) is None
    command.signal(signal.SIGINT)
    (ended,) = all_ended([command], PATIENCE)
    assert ended.status == 130
    last = Run(tmp_path / "run").checkpoints()[-1]
    assert last.step > 0
    assert f"stopped by SIGINT after step {last.step} of first; the same command continues" in ended.err

    command = commands.start(words, tmp_path / "log")
    while "continues after step" not in (tmp_path / "log" / "err").read_text():
        assert command.wait(0.05) is None
    assert f"continues after step {last.step} of first" in (tmp_path / "log" / "err").read_text()
    command.signal(signal.SIGINT)
    command.signal(signal.SIGINT)
    (ended,) = all_ended([command], PATIENCE)
    assert ended.status == 130
