"""JGLUE and JCoLA by fine-tuning: models and a folder of tasks → one record for each model and task.

A grid of learning rates and epochs is trained on each task; `protocols` says what is trained on which data and what is
reported. The rule: a trial whose file exists is not trained again, so an interrupted evaluation continues.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import get_args

import torch

from anaume.bounds import MOST_EPOCHS
from anaume.errors import UserError
from anaume.evals.jglue import protocols
from anaume.evals.jglue.fetch import fetch as fetch_files
from anaume.evals.jglue.processes import estimate_seconds, run_trials, worker_devices
from anaume.evals.jglue.protocols import Outcome, Protocol, RunTrials
from anaume.evals.jglue.tasks import public_tasks, tasks_by_name, tasks_in
from anaume.evals.jglue.trials import Experiment, Trial, missing_trials, open_experiments
from anaume.evals.record import Record
from anaume.evals.task import Evaluation, Request, Subject
from anaume.evals.tasks import GridOptions, JglueOptions
from anaume.finetune import train
from anaume.finetune.train import Settings
from anaume.formats import duration
from anaume.model.mlm import product_dtype
from anaume.progress import say

# The paper's grid (section 4.1).
LEARNING_RATES = (5e-6, 1e-5, 2e-5, 3e-5, 5e-5, 1e-4)
EPOCHS = (1, 2, 3, 4, 5, 10)
# Warm-up and clipping are settings of a trial, because the protocols differ in them.
OPTIMIZER = f"AdamW, betas {train.BETAS}, eps {train.EPSILON:g}, no weight decay; linear schedule"
# Folder of the trials' files beside the records.
TRIALS_FOLDER = ".cells"


@dataclass(frozen=True)
class Grid:
    """What to train on each task.

    `tasks`    names of tasks; empty: every task whose folder exists
    `seeds`    number of trainings of the selected settings, with seeds `seed`, `seed` + 1, …
    `workers`  number of processes; 0: one per CUDA device, or one on a CPU
    """

    tasks: tuple[str, ...] = ()
    protocol: Protocol = "held-out"
    learning_rates: tuple[float, ...] = LEARNING_RATES
    epochs: tuple[int, ...] = EPOCHS
    seeds: int = 3
    seed: int = 0
    workers: int = 0

    def settings(self) -> list[Settings]:
        """Return the settings in the order that decides ties: fewer epochs first, then lower learning rates."""
        rates_and_epochs = product(sorted({*self.epochs}), sorted({*self.learning_rates}))
        return [Settings(rate, epochs, self.seed) for epochs, rate in rates_and_epochs]


def parse(
    tasks: str, protocol: str, learning_rates: str, epochs: str, *, seeds: int = 3, seed: int = 0, workers: int = 0
) -> Grid:
    """Return a grid from the command line's options. Lists are separated by commas; an empty one means the default.

    Raises:
        UserError: names the option and the value.
    """
    if protocol not in get_args(Protocol):
        raise UserError(f"--protocol: {protocol}: unknown; expected one of {', '.join(get_args(Protocol))}")
    try:
        rates = tuple(float(word) for word in learning_rates.split(",")) if learning_rates else LEARNING_RATES
        numbers = tuple(int(word) for word in epochs.split(",")) if epochs else EPOCHS
    except ValueError as error:
        raise UserError(f"--learning-rates, --epochs: {error}; expected numbers with commas between them") from error
    if not all(0 < rate < 1 for rate in rates) or not all(0 < number <= MOST_EPOCHS for number in numbers):
        raise UserError(
            f"--learning-rates, --epochs: {rates}, {numbers}: out of range; expected rates between 0 and 1, epochs"
            f" from 1 to {MOST_EPOCHS:,}"
        )
    names = tuple(word.strip() for word in tasks.split(",")) if tasks else ()
    return Grid(names, protocol, rates, numbers, seeds, seed, workers)  # type: ignore[arg-type]


def chosen_grid(tasks: str, options: GridOptions) -> Grid:
    """Return the grid of a task's options; see `parse`."""
    return parse(
        tasks,
        options.protocol,
        options.learning_rates,
        options.epochs,
        seeds=options.seeds,
        seed=options.seed,
        workers=options.workers,
    )


def prepare(
    models: Sequence[str], data: Path, out: Path, grid: Grid, *, fetch: bool = False
) -> tuple[list[Experiment], float]:
    """Return the experiments for `evaluate`, for each model each task, and the seconds that they take by the forecast.

    All models and data are checked, and the forecast is printed to standard error. Nothing is trained yet. With
    `fetch`, files that the folder `data` lacks are downloaded first.

    Raises:
        UserError: an unknown task, data or a model that can't be read, two models of one name.
    """
    tasks = tasks_by_name(grid.tasks)
    if fetch:
        fetch_files(tasks or public_tasks(), data)
    experiments = open_experiments(models, data, tasks or tasks_in(data))
    return experiments, print_forecast(experiments, grid, out)


def print_forecast(experiments: Sequence[Experiment], grid: Grid, out: Path) -> float:
    """Print the number of missing trials and their estimated time, and return the seconds of all.

    Models of one architecture, such as the checkpoints of a run, share a line, and only the first of them is timed.
    """
    devices, total = worker_devices(grid.workers), 0.0
    groups: dict[tuple[str, str], list[Experiment]] = {}
    for experiment in experiments:
        groups.setdefault((experiment.task.name, experiment.architecture), []).append(experiment)
    for group in groups.values():
        planned = [_planned_trials(experiment, grid, out) for experiment in group]
        missing = [missing_trials(e, trials, out / TRIALS_FOLDER) for e, trials in zip(group, planned, strict=True)]
        if any(missing):
            seconds = estimate_seconds(group[0], missing, devices)
            total += seconds
            models = group[0].name if len(group) == 1 else f"{len(group)} models"
            counts = f"{sum(map(len, missing))} of {sum(map(len, planned))}"
            line = f"{group[0].task.name}, {models}: {counts} trainings to do, about {duration(seconds)}"
            say(line)
    if total:
        say(f"processes: {len(devices)} ({devices[0].type}); in all about {duration(total)}")
    return total


def _planned_trials(experiment: Experiment, grid: Grid, out: Path) -> list[Trial]:
    """Return all trials behind a record, each once. Before settings are selected, the longest ones stand for them."""
    settings, trials = grid.settings(), []
    if grid.protocol != "paper":
        trials = protocols.selection_trials(settings)
        selected = settings[-1]
        if not missing_trials(experiment, trials, out / TRIALS_FOLDER):
            selected, _ = protocols.select(settings, experiment.task.metric, _runner(experiment, grid, out))
        trials += protocols.repeated_trials(selected, grid.seeds)
    if grid.protocol != "held-out":
        trials += protocols.paper_trials(settings)
    return list(dict.fromkeys(trials))


def _runner(experiment: Experiment, grid: Grid, out: Path) -> RunTrials:
    return partial(run_trials, experiment, folder=out / TRIALS_FOLDER, workers=grid.workers)


def evaluate(experiment: Experiment, grid: Grid, out: Path) -> Record:
    """Run the trials whose files are missing in `out`/.cells, and return the record of all trials.

    Raises:
        UserError: the data have changed since `prepare`; the errors of `run_trials`.
    """
    settings, metric, run = grid.settings(), experiment.task.metric, _runner(experiment, grid, out)
    outcomes = []
    if grid.protocol != "paper":
        outcomes.append(protocols.run_held_out(settings, grid.seeds, metric, run))
    if grid.protocol != "held-out":
        outcomes.append(protocols.run_paper(settings, metric, run))
    return _record(experiment, grid, outcomes)


def _record(experiment: Experiment, grid: Grid, outcomes: Sequence[Outcome]) -> Record:
    groups = [group for outcome in outcomes for group in outcome.groups]
    example = groups[-1].contents[0]  # a trial on the whole training split; all of these have equal sizes
    device = torch.device(experiment.identity["device"])
    settings = {
        "data": experiment.data.resolve().name,
        "files": experiment.identity["data"],
        "notes": list(experiment.notes),
        **experiment.task.inputs,
        "protocol": grid.protocol,
        "learning_rates": list(grid.learning_rates),
        "epochs": list(grid.epochs),
        "seeds": grid.seeds,
        "deviation": "sample standard deviation over the seeds",
        "selected_by": experiment.task.metric,
        **{name: value for outcome in outcomes for name, value in outcome.settings.items()},
        "train": example["examples"]["train"],
        "truncated": example["truncated"],
        "batch_size": train.BATCH,
        "max_length": example["max_length"],
        "optimizer": OPTIMIZER,
        "attention": example["attention"],
        "device": device.type,
        "precision": str(product_dtype(device)).removeprefix("torch."),
        "revision": experiment.identity["model"],
    }
    return Record(
        experiment.name,
        experiment.task.name,
        {name: value for outcome in outcomes for name, value in outcome.metrics.items()},
        example["examples"]["validation"],
        settings,
        grid.seed,
        details=[row for group in groups for row in group.rows],
    )


def prepare_task(request: Request[JglueOptions]) -> Evaluation:
    """Read the tasks' files, open the models and forecast the time; see `prepare`.

    A record is always made anew from the trials' files, which tell what has been trained.

    Raises:
        UserError: see `parse` and `prepare`.
    """
    options = request.options
    assert options.data
    grid = chosen_grid(options.tasks, options)
    experiments, seconds = prepare(request.models, options.data, request.out, grid, fetch=options.fetch)

    def measure(subject: Subject) -> Iterator[Record]:
        return (evaluate(item, grid, request.out) for item in experiments if item.model == subject.path)

    return Evaluation(measure, forecast=lambda _: seconds)
