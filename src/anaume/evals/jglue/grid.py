"""JGLUE and JCoLA by fine-tuning: models and a folder of tasks → a record a model and task.

Two protocols. `held-out`: each cell of the grid is trained on nine tenths of the training split and scored on the last
tenth; the best is trained on all of it with several seeds, and their mean on validation (and test) is reported.
`paper`: each cell is trained on all of it and the best on validation is reported (arXiv 2504.15544, section 4.1), one
number out of 36, picked by the data that it is reported on.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch

from anaume.errors import UserError
from anaume.evals.jglue.cells import Cell, Study, missing, studies
from anaume.evals.jglue.fetch import fetch as fetch_files
from anaume.evals.jglue.processes import devices_of, duration, forecast, run_cells
from anaume.evals.jglue.tasks import named, present, public
from anaume.evals.record import Record, save_record
from anaume.evals.task import Evaluation, Request, Subject
from anaume.evals.tasks import JglueOptions
from anaume.finetune import train
from anaume.finetune.train import Settings
from anaume.model.mlm import product_dtype

Protocol = Literal["held-out", "paper", "both"]
# The paper's grid.
LEARNING_RATES = (5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 1e-4)
EPOCHS = (1, 2, 3, 4, 5, 10)
OPTIMIZER = (
    f"AdamW, betas {train.BETAS}, eps {train.EPSILON:g}, no weight decay, gradient norm clipped to"
    f" {train.CLIP:g}; linear schedule, {train.WARMUP:.0%} warm-up"
)
CELLS = ".cells"


@dataclass(frozen=True)
class Grid:
    """What to train.

    `tasks`    names; none for all whose folders are there
    `seeds`    trainings of the chosen cell, with seeds `seed`, `seed` + 1, …
    `workers`  processes at a time; 0: one a CUDA device, or one on a CPU
    """

    tasks: tuple[str, ...] = ()
    protocol: Protocol = "held-out"
    learning_rates: tuple[float, ...] = LEARNING_RATES
    epochs: tuple[int, ...] = EPOCHS
    seeds: int = 3
    seed: int = 0
    workers: int = 0

    def settings(self) -> list[Settings]:
        """The cells' settings, in the order in which a tie is decided: fewer epochs, then lower rates."""
        return [
            Settings(rate, n, self.seed) for n, rate in product(sorted({*self.epochs}), sorted({*self.learning_rates}))
        ]

    def selection(self) -> list[Cell]:
        """The cells that one is chosen from: trained without the held-out tenth."""
        return [Cell(each, split_seed=self.seed) for each in self.settings()]

    def again(self, chosen: Settings) -> list[Cell]:
        """The chosen one with each seed, on all of the training split."""
        return [Cell(replace(chosen, seed=self.seed + i)) for i in range(self.seeds)]


PAPERS = Grid()


def parse(
    tasks: str, protocol: str, learning_rates: str, epochs: str, *, seeds: int = 3, seed: int = 0, workers: int = 0
) -> Grid:
    """A grid from the options of the command line; lists are separated by commas, empty ones are the defaults.

    Raises:
        UserError: naming the option and the value.
    """
    if protocol not in get_args(Protocol):
        raise UserError(f"--protocol {protocol}: accepted: {', '.join(get_args(Protocol))}")
    try:
        rates = tuple(float(word) for word in learning_rates.split(",")) if learning_rates else LEARNING_RATES
        numbers = tuple(int(word) for word in epochs.split(",")) if epochs else EPOCHS
    except ValueError as error:
        raise UserError(f"--learning-rates and --epochs: {error}; accepted: numbers with commas between") from error
    if not all(0 < rate < 1 for rate in rates) or not all(number > 0 for number in numbers):
        raise UserError(f"--learning-rates {rates}, --epochs {numbers}: accepted: rates between 0 and 1, epochs from 1")
    names = tuple(word.strip() for word in tasks.split(",")) if tasks else ()
    return Grid(names, protocol, rates, numbers, seeds, seed, workers)  # type: ignore[arg-type]


def evaluate_jglue(
    models: Sequence[str], data: Path, out: Path, grid: Grid = PAPERS, *, fetch: bool = False
) -> Iterator[Path]:
    """Fine-tune models on the tasks of a folder and save the records; gives their paths. See `prepare`, `evaluate`."""
    for study in prepare(models, data, out, grid, fetch=fetch):
        yield save_record(evaluate(study, grid, out), out)


def prepare(models: Sequence[str], data: Path, out: Path, grid: Grid, *, fetch: bool = False) -> list[Study]:
    """What `evaluate` takes, model by model and in each task by task; nothing is trained yet.

    All models and data are looked at, and standard error hears how long all of it will take. With `fetch`, files that
    the folder lacks are downloaded first.

    Raises:
        UserError: an unknown task, data or a model that can't be read, two models of one name.
    """
    tasks = named(grid.tasks)
    if fetch:
        fetch_files(tasks or public(), data)
    every = studies(models, data, tasks or present(data))
    _announce(every, grid, out)
    return every


def _announce(every: Sequence[Study], grid: Grid, out: Path) -> None:
    """Say how many trainings are missing, and about how long they take: a line for models that are alike, such as the
    checkpoints of a run, of which one is timed.
    """
    devices, total = devices_of(grid.workers), 0.0
    alike: dict[tuple[str, str], list[Study]] = {}
    for study in every:
        alike.setdefault((study.task.name, study.architecture), []).append(study)
    for group in alike.values():
        cells = [_cells(study, grid, out) for study in group]
        todo = [missing(study, own, out / CELLS) for study, own in zip(group, cells, strict=True)]
        if any(todo):
            seconds = forecast(group[0], todo, devices)
            total += seconds
            who = group[0].name if len(group) == 1 else f"{len(group)} models"
            of = f"{sum(map(len, todo))} of {sum(map(len, cells))}"
            said = f"{group[0].task.name}, {who}: {of} trainings to do, about {duration(seconds)}"
            print(said, file=sys.stderr)
    if total:
        print(f"processes: {len(devices)} ({devices[0].type}); in all about {duration(total)}", file=sys.stderr)


def _cells(study: Study, grid: Grid, out: Path) -> list[Cell]:
    """All that a record is made from, each once. Where a cell is not chosen yet, it is taken to be the longest."""
    settings, cells = grid.settings(), []
    if grid.protocol != "paper":
        cells = grid.selection() if len(settings) > 1 else []
        known = not missing(study, cells, out / CELLS)
        cells += grid.again(_chosen(study, grid, out) if known else settings[-1])
    if grid.protocol != "held-out":
        cells += [Cell(each) for each in settings]
    return list(dict.fromkeys(cells))


def _chosen(study: Study, grid: Grid, out: Path) -> Settings:
    """The best of the grid by the held-out tenth; the only one of a grid of one."""
    if len(grid.settings()) == 1:
        return grid.settings()[0]
    return grid.settings()[_selection(study, grid, out).best(study.task.metric)]


def _selection(study: Study, grid: Grid, out: Path) -> "Trained":
    return _train(study, grid, out, "held-out", "held_out", grid.selection())


def _train(study: Study, grid: Grid, out: Path, protocol: Protocol, split: str, cells: Sequence[Cell]) -> "Trained":
    return Trained(protocol, split, cells, run_cells(study, cells, out / CELLS, grid.workers))


def evaluate(study: Study, grid: Grid, out: Path) -> Record:
    """Make the cells of one model on one task that aren't in `out`/.cells, and the record from all.

    Raises:
        UserError: data that changed since `prepare`, and as `run_cells`.
    """
    parts: list[Trained] = []
    metrics: dict[str, float] = {}
    said: dict[str, Any] = {}
    if grid.protocol != "paper":
        if len(grid.settings()) > 1:
            parts.append(_selection(study, grid, out))
            said["held_out"] = parts[-1].contents[0]["examples"]["held_out"]
        chosen = _chosen(study, grid, out)
        said["selected"] = asdict(chosen)
        parts.append(_train(study, grid, out, "held-out", "validation", grid.again(chosen)))
        metrics |= _summary(parts[-1].scores)
    if grid.protocol != "held-out":
        cells = [Cell(each) for each in grid.settings()]
        parts.append(_train(study, grid, out, "paper", "validation", cells))
        place = parts[-1].best(study.task.metric)
        said["best_cell"] = asdict(cells[place].settings)
        metrics |= {f"best_cell_{name}": value for name, value in parts[-1].scores[place].items()}
    one = parts[-1].contents[0]
    return Record(
        study.name,
        study.task.name,
        metrics,
        one["examples"]["validation"],
        {
            "data": study.data.resolve().name,
            "files": study.identity["data"],
            "notes": list(study.notes),
            "protocol": grid.protocol,
            "learning_rates": list(grid.learning_rates),
            "epochs": list(grid.epochs),
            "seeds": grid.seeds,
            "deviation": "sample standard deviation over the seeds",
            "selected_by": study.task.metric,
            **said,
            "train": one["examples"]["train"],
            "truncated": one["truncated"],
            "batch_size": train.BATCH,
            "max_length": one["max_length"],
            "optimizer": OPTIMIZER,
            "attention": one["attention"],
            "device": study.identity["device"],
            "precision": str(product_dtype(torch.device(study.identity["device"]))).removeprefix("torch."),
            "revision": study.identity["model"],
        },
        grid.seed,
        details=[row for part in parts for row in part.rows],
    )


@dataclass(frozen=True)
class Trained:
    """Cells that were trained alike: on the whole training split or on nine tenths, and what their files hold.

    `split` is what their plain metrics are measured on; those of other splits carry their split's name before them.
    """

    protocol: Protocol
    split: str
    cells: Sequence[Cell]
    contents: list[dict[str, Any]]

    @property
    def scores(self) -> list[dict[str, float]]:
        return [
            {
                name if split == self.split else f"{split}_{name}": value
                for split, metrics in content["metrics"].items()
                for name, value in metrics.items()
            }
            for content in self.contents
        ]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What the record shows of each cell."""
        return [
            {**asdict(cell.settings), "protocol": self.protocol, "split": self.split, **scores}
            for cell, scores in zip(self.cells, self.scores, strict=True)
        ]

    def best(self, metric: str) -> int:
        """Which cell has the highest; of several the first."""
        return int(np.argmax([scores[metric] for scores in self.scores]))


def _summary(scores: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean of each metric and, of two seeds or more, the sample standard deviation."""
    summary = {}
    for name in scores[0]:
        values = [score[name] for score in scores]
        summary[name] = float(np.mean(values))
        if len(values) > 1:
            summary[f"{name}_std"] = float(np.std(values, ddof=1))
    return summary


def prepare_task(request: Request[JglueOptions]) -> Evaluation:
    """Read the tasks' files, open the models and forecast the time; see `prepare`.

    The files of the grid's cells tell what has been trained, so that a record is always made again from them.

    Raises:
        UserError: see `parse` and `prepare`.
    """
    options = request.options
    assert options.data
    grid = parse(
        options.tasks,
        options.protocol,
        options.learning_rates,
        options.epochs,
        seeds=options.seeds,
        seed=options.seed,
        workers=options.workers,
    )
    studies = prepare(request.models, options.data, request.out, grid, fetch=options.fetch)

    def measure(subject: Subject) -> Iterator[Record]:
        return (evaluate(study, grid, request.out) for study in studies if study.model == subject.path)

    return Evaluation(measure)
