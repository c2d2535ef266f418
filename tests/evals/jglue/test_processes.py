"""Trials on several processes: equal files, no trial twice, no process left behind."""

import json
import multiprocessing
import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from anaume.errors import UserError
from anaume.evals.jglue import processes, trials
from anaume.evals.jglue.processes import run_trials
from anaume.evals.jglue.tasks import TASKS
from anaume.evals.jglue.trials import Experiment, Trial, open_experiments, trial_path
from anaume.files import path_lock, write_json
from anaume.finetune.train import Settings

from .conftest import SMALL

pytestmark = pytest.mark.slow
FORK = multiprocessing.get_context("fork")
TRIALS = [Trial(Settings(rate, 1, 0), split_seed=0) for rate in SMALL.learning_rates]


@pytest.fixture
def experiment(modernbert_folder: Path, small: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """The experiment of `finished`. Workers are forked, because a fresh process would take seconds to import torch."""
    monkeypatch.setattr(processes, "START_METHOD", "fork")
    return open_experiments([str(modernbert_folder)], small, [TASKS["jcola"]])[0]


def contents(experiment: Experiment, folder: Path) -> list[dict[str, Any]]:
    """The files of `TRIALS` without the time that they took."""
    paths = [trial_path(experiment, trial, folder) for trial in TRIALS]
    return [{**json.loads(path.read_text(encoding="utf-8")), "seconds": 0} for path in paths]


def show_steps(monkeypatch: pytest.MonkeyPatch, show: Callable[[int], None]) -> None:
    """Call `show` in place of a bar."""

    @contextmanager
    def bar(_title: str, _total: int) -> Iterator[tuple[Console, Callable[[int], None]]]:
        yield Console(stderr=True), show

    monkeypatch.setattr(processes, "console_bar", bar)


def test_two_processes_give_what_one_gives(
    experiment: Experiment, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    show_steps(monkeypatch, steps.append)
    results = run_trials(experiment, TRIALS, tmp_path, workers=2)
    assert contents(experiment, tmp_path) == contents(experiment, finished / ".cells")
    assert [{**result, "seconds": 0} for result in results] == contents(experiment, tmp_path)
    assert sum(steps) == sum(result["steps"] for result in results) == 2


def test_a_process_that_dies(experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "run_trial", lambda *_: os._exit(9))
    message = "jcola: tiny-modernbert: a process died, perhaps of memory; the same command continues"
    with pytest.raises(UserError, match=message):
        run_trials(experiment, TRIALS, tmp_path, workers=2)


def _other_process(path: Path, content: dict[str, Any], claimed: Any, go_on: Any) -> None:
    """Claim a trial; when told to go on, write its file, or without a content be killed before that."""
    with path_lock(path):
        claimed.set()
        go_on.wait()
        if not content:
            os.kill(os.getpid(), signal.SIGKILL)
        write_json(path, content)


@pytest.mark.parametrize("killed", [False, True])
def test_two_processes_run_no_trial_twice(
    killed: bool, experiment: Experiment, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process has the second trial while this one trains the first. If it is killed, this one trains both."""
    whole = contents(experiment, finished / ".cells")
    content = {} if killed else {**whole[1], "seconds": -1}
    claimed, go_on = FORK.Event(), FORK.Event()
    path = trial_path(experiment, TRIALS[1], tmp_path)
    other = FORK.Process(target=_other_process, args=(path, content, claimed, go_on), daemon=True)
    other.start()
    assert claimed.wait(20)
    show_steps(monkeypatch, lambda _: go_on.set())  # after the first step of the first trial
    results = run_trials(experiment, TRIALS, tmp_path)
    other.join()
    assert (results[1]["seconds"] == -1) is not killed
    assert [{**result, "seconds": 0} for result in results] == whole


def test_no_worker_outlives_a_killed_parent(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All processes hold one end of a pipe. The other end closes when the last of them has ended."""
    reading, writing = os.pipe()
    monkeypatch.setattr(trials, "run_trial", lambda *_: os.write(writing, b".") and signal.sigwait([signal.SIGUSR1]))
    parent = FORK.Process(target=run_trials, args=(experiment, TRIALS, tmp_path, 2))
    parent.start()
    os.close(writing)
    for _ in TRIALS:
        assert os.read(reading, 1) == b"."
    parent.kill()
    parent.join()
    ended, _, _ = select.select([reading], [], [], 20)
    assert ended
    assert os.read(reading, 1) == b""
    os.close(reading)
