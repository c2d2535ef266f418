"""Cells on devices: those whose files are missing are made, as many at a time as there are processes.

The rule: a file is written as soon as its cell is made, whole; a grid that was killed goes on where it stopped, and
no two processes make the same cell.
"""

import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress, TaskID

from anaume.errors import UserError
from anaume.evals.jglue import cells
from anaume.evals.jglue.cells import Cell, Study, encoded, missing, path_of, sizes_of
from anaume.files import path_lock, write_json
from anaume.finetune.train import BATCH, Settings, predict, train
from anaume.processes import end_with_parent

# Steps that are timed before a grid begins.
WARM_UP, TIMED = 2, 6
# How processes start: CUDA needs fresh ones.
START = "spawn"
# How often the bar looks at the steps of other processes.
POLL_SECONDS = 0.5

Made = Iterator[tuple[Cell, dict[str, Any]]]
Advance = Callable[[int], None]


def run_cells(study: Study, wanted: Sequence[Cell], folder: Path, workers: int = 0) -> list[dict[str, Any]]:
    """Make the cells whose files aren't there, the longest first, and give what all files hold, in the order given.

    `workers` processes at a time: 0 for one a CUDA device, or one on a CPU.

    Raises:
        UserError: a model that can't be fine-tuned, a training split too small to hold out from, a process that died.
    """
    todo = sorted(missing(study, wanted, folder), key=lambda cell: -cell.settings.epochs)
    if todo:
        devices = devices_of(workers)
        with _bar(f"{study.task.name}, {study.name}", sum(sizes_of(study, cell)[0] for cell in todo)) as bar:
            made = _in_turn if len(devices) == 1 else _in_parallel
            for cell, content in made(study, todo, folder, devices, bar.advance):
                bar.show(cell, content)
    return [json.loads(path_of(study, cell, folder).read_text(encoding="utf-8")) for cell in wanted]


def _make(study: Study, cell: Cell, folder: Path, device: torch.device, advance: Advance) -> dict[str, Any]:
    """What a cell's file holds, which is made now unless a process of another call is at it: then it is waited for."""
    path = path_of(study, cell, folder)
    with path_lock(path):
        if path.exists():
            content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            advance(content["steps"])
        else:
            content = cells.make(study, cell, device, advance)
            write_json(path, content)
    return content


def forecast(study: Study, todo: Sequence[Sequence[Cell]], devices: Sequence[torch.device]) -> float:
    """About how many seconds these cells take on the devices, by timing a few steps.

    `todo` has the cells of each of several studies that differ from this one in their weights only.
    """
    lists = [each for each in todo if each]
    splits, _ = encoded(study, lists[0][0].split_seed)
    items = splits["train"].items
    sample = np.random.default_rng(0).integers(len(items), size=(WARM_UP + TIMED) * BATCH)
    few = {"train": replace(splits["train"], items=[items[i] for i in sample])}
    settings = Settings(learning_rate=0.0, epochs=1, seed=0)
    times: list[float] = []

    def tick() -> None:
        if devices[0].type == "cuda":
            torch.cuda.synchronize(devices[0])
        times.append(time.perf_counter())

    threads = torch.get_num_threads()
    torch.set_num_threads(_threads(devices))
    try:
        network = train(study.model, study.task.head, few, settings, devices[0], tick)
        predict(network, study.task.kind, few["train"].items[: BATCH * TIMED])
    finally:
        torch.set_num_threads(threads)
    tick()
    a_step = (times[-2] - times[WARM_UP - 1]) / TIMED
    an_item = (times[-1] - times[-2]) / (BATCH * TIMED)
    sizes = {cell: sizes_of(study, cell) for each in lists for cell in each}
    return sum(
        float((np.array([sizes[cell] for cell in each]) @ [a_step, an_item]).sum()) / min(len(devices), len(each))
        for each in lists
    )


def duration(seconds: float) -> str:
    """As people say it: 45 s, 12 min, 3 h 20 min."""
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60:02d} min"


def devices_of(workers: int) -> list[torch.device]:
    """What each process works on: `workers` of them, or 0 for one a CUDA device, or one on a CPU."""
    count = torch.cuda.device_count()
    if not count:
        return [torch.device("cpu")] * max(1, workers)
    return [torch.device("cuda", i % count) for i in range(workers or count)]


def _threads(devices: Sequence[torch.device]) -> int:
    """Threads for each process, so that together they use what one process would."""
    return max(1, torch.get_num_threads() // len(devices))


def _in_turn(
    study: Study, todo: Sequence[Cell], folder: Path, devices: Sequence[torch.device], advance: Advance
) -> Made:
    for cell in todo:
        yield cell, _make(study, cell, folder, devices[0], advance)


def _in_parallel(
    study: Study, todo: Sequence[Cell], folder: Path, devices: Sequence[torch.device], advance: Advance
) -> Made:
    """A process a device; they count their steps in one shared number."""
    context = multiprocessing.get_context(START)
    free = context.SimpleQueue()
    for device in devices:
        free.put(str(device))
    counter = context.Value("q", 0)
    start = (free, counter, _threads(devices))
    pool = ProcessPoolExecutor(len(devices), context, initializer=_start_worker, initargs=start)
    try:
        pending = {pool.submit(_make_here, study, cell, folder): cell for cell in todo}
        shown = 0
        while pending:
            done, _ = wait(pending, POLL_SECONDS, FIRST_COMPLETED)
            advance(counter.value - shown)
            shown = counter.value
            for future in done:
                yield pending.pop(future), future.result()
    except BrokenProcessPool as error:
        raise UserError(
            f"{study.task.name}: a process died, of memory perhaps; the same command again goes on"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Worker:
    """What a process of the pool has of its own."""

    device: torch.device
    advance: Advance


_worker: _Worker | None = None


def _start_worker(free: Any, counter: Any, threads: int) -> None:
    global _worker
    end_with_parent()
    device = torch.device(free.get())
    torch.set_num_threads(threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)

    def advance(steps: int) -> None:
        with counter.get_lock():
            counter.value += steps

    _worker = _Worker(device, advance)


def _make_here(study: Study, cell: Cell, folder: Path) -> dict[str, Any]:
    assert _worker
    return _make(study, cell, folder, _worker.device, _worker.advance)


class _Bar:
    """Steps done on a terminal, and everywhere a line for each cell, on standard error."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task = progress, task

    def advance(self, steps: int) -> None:
        self.progress.advance(self.task, steps)

    def show(self, cell: Cell, content: dict[str, Any]) -> None:
        split, metrics = next(iter(content["metrics"].items()))
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        s = cell.settings
        self.progress.console.print(
            f"  {s.learning_rate:g} × {s.epochs}, seed {s.seed}: {numbers} on {split}, {duration(content['seconds'])}",
            highlight=False,
        )


@contextmanager
def _bar(title: str, steps: int) -> Iterator[_Bar]:
    console = Console(stderr=True)
    with Progress(
        *Progress.get_default_columns(), console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        yield _Bar(progress, progress.add_task(title, total=steps))
