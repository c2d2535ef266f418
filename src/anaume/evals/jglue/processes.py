"""Trials on devices: the trials without a file are run, one at a time in each process.

The rule: a trial's file is written whole as soon as the trial ends, so a killed grid continues where it stopped; and no
two processes run the same trial.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from rich.console import Console

from anaume.errors import UserError
from anaume.evals.jglue import trials
from anaume.evals.jglue.trials import (
    Experiment,
    Trial,
    encoded_splits,
    missing_trials,
    read_trial,
    trial_path,
    trial_size,
)
from anaume.files import path_lock, write_json
from anaume.finetune.train import BATCH, Settings, predict, train
from anaume.formats import duration
from anaume.processes import end_with_parent
from anaume.progress import console_bar

# Metrics of a finished trial on the terminal; entities have scores for each type.
SHOWN = 3
# Training steps for the forecast: the first ones are slower and are not timed.
WARM_UP, TIMED = 2, 6
# How worker processes start. CUDA can't be used in a forked process.
START_METHOD = "spawn"
# Seconds between two updates of the bar from the workers' counter of steps.
POLL_SECONDS = 0.5

# A trial and the content of its file.
Result: TypeAlias = tuple[Trial, dict[str, Any]]
# Called with the number of steps done since the last call.
Advance: TypeAlias = Callable[[int], None]


def run_trials(
    experiment: Experiment, planned: Sequence[Trial], folder: Path, workers: int = 0
) -> list[dict[str, Any]]:
    """Run the trials whose files are missing, longest first, and return the contents of all files in the given order.

    `workers` is the number of processes; 0: one per CUDA device, or one on a CPU.

    Raises:
        UserError: a model that can't be fine-tuned, a training split too small to hold out from, a process that died.
    """
    missing = sorted(missing_trials(experiment, planned, folder), key=lambda trial: -trial.settings.epochs)
    if missing:
        devices = worker_devices(workers)
        run = _run_in_this_process if len(devices) == 1 else _run_in_pool
        steps = sum(trial_size(experiment, trial)[0] for trial in missing)
        with console_bar(f"{experiment.task.name}, {experiment.name}", steps) as (console, advance):
            for trial, content in run(experiment, missing, folder, devices, advance):
                _print_result(console, trial, content)
    return [read_trial(trial_path(experiment, trial, folder)) for trial in planned]


def _print_result(console: Console, trial: Trial, content: dict[str, Any]) -> None:
    split, metrics = next(iter(content["metrics"].items()))
    numbers = ", ".join(f"{name} {value:.4f}" for name, value in list(metrics.items())[:SHOWN])
    s, time_taken = trial.settings, duration(content["seconds"])
    line = f"  {s.learning_rate:g} × {s.epochs}, seed {s.seed}: {numbers} on {split}, {time_taken}"
    console.print(line, highlight=False)


def _run_or_wait(
    experiment: Experiment, trial: Trial, folder: Path, device: torch.device, advance: Advance
) -> dict[str, Any]:
    """Run a trial and write its file, or wait for another process that is running it; return the file's content."""
    path = trial_path(experiment, trial, folder)
    with path_lock(path):
        if path.exists():
            content = read_trial(path)
            advance(content["steps"])
        else:
            content = trials.run_trial(experiment, trial, device, advance)
            write_json(path, content)
    return content


def _run_in_this_process(
    experiment: Experiment, missing: Sequence[Trial], folder: Path, devices: Sequence[torch.device], advance: Advance
) -> Iterator[Result]:
    for trial in missing:
        yield trial, _run_or_wait(experiment, trial, folder, devices[0], advance)


def _run_in_pool(
    experiment: Experiment, missing: Sequence[Trial], folder: Path, devices: Sequence[torch.device], advance: Advance
) -> Iterator[Result]:
    """Run trials in one process per device, and yield them as they end. The processes count steps in a shared value."""
    context = multiprocessing.get_context(START_METHOD)
    free_devices = context.SimpleQueue()
    for device in devices:
        free_devices.put(str(device))
    steps = context.Value("q", 0)
    arguments = (free_devices, steps, _threads_per_process(devices))
    pool = ProcessPoolExecutor(len(devices), context, initializer=_start_worker, initargs=arguments)
    try:
        pending = {pool.submit(_run_in_worker, experiment, trial, folder): trial for trial in missing}
        shown = 0
        while pending:
            done, _ = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
            advance(steps.value - shown)
            shown = steps.value
            for future in done:
                yield pending.pop(future), future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"{experiment.task.name}: {experiment.name}: a process died, perhaps of memory; the same command continues"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Worker:
    """The device of a process of the pool, and the function that counts its steps."""

    device: torch.device
    advance: Advance


_worker: _Worker | None = None


def _start_worker(free_devices: Any, steps: Any, threads: int) -> None:
    global _worker
    end_with_parent()
    device = torch.device(free_devices.get())
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)

    def advance(count: int) -> None:
        with steps.get_lock():
            steps.value += count

    _worker = _Worker(device, advance)


def _run_in_worker(experiment: Experiment, trial: Trial, folder: Path) -> dict[str, Any]:
    assert _worker
    return _run_or_wait(experiment, trial, folder, _worker.device, _worker.advance)


def worker_devices(workers: int) -> list[torch.device]:
    """Return the device of each of `workers` processes; 0: one process per CUDA device, or one on a CPU."""
    count = torch.cuda.device_count()
    if not count:
        return [torch.device("cpu")] * max(1, workers)
    return [torch.device("cuda", i % count) for i in range(workers or count)]


def _threads_per_process(devices: Sequence[torch.device]) -> int:
    """Divide the threads of one process among all of them."""
    return max(1, torch.get_num_threads() // len(devices))


def estimate_seconds(
    experiment: Experiment, missing: Sequence[Sequence[Trial]], devices: Sequence[torch.device]
) -> float:
    """Estimate the seconds that trials take on the devices, by timing a few steps and predictions.

    `missing` holds one list of trials for each of several experiments that differ from this one in their weights only.
    """
    lists = [own_trials for own_trials in missing if own_trials]
    splits, _ = encoded_splits(experiment, lists[0][0].split_seed)
    items = splits["train"].items
    drawn = np.random.default_rng(0).integers(len(items), size=(WARM_UP + TIMED) * BATCH)
    sample = {"train": replace(splits["train"], items=[items[i] for i in drawn])}
    settings = Settings(learning_rate=0.0, epochs=1, seed=0)
    times: list[float] = []

    def note_time() -> None:
        if devices[0].type == "cuda":
            torch.cuda.synchronize(devices[0])
        times.append(time.perf_counter())

    threads = torch.get_num_threads()
    torch.set_num_threads(_threads_per_process(devices))
    try:
        network = train(experiment.model, experiment.task.head, sample, settings, devices[0], note_time)
        predict(network, experiment.task.head.kind, sample["train"].items[: BATCH * TIMED])
    finally:
        torch.set_num_threads(threads)
    note_time()
    seconds = [(times[-2] - times[WARM_UP - 1]) / TIMED, (times[-1] - times[-2]) / (BATCH * TIMED)]  # a step, an item
    sizes = {trial: trial_size(experiment, trial) for own_trials in lists for trial in own_trials}
    return sum(
        float((np.array([sizes[trial] for trial in own_trials]) @ seconds).sum()) / min(len(devices), len(own_trials))
        for own_trials in lists
    )
