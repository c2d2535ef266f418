"""Trials: an experiment and settings → a training, its metrics and the file that keeps them.

An experiment is one model on one task; a trial is one training of an experiment. The rule: the content of a trial's
file depends only on the trial's inputs (the model's files, the data's files, the settings), and the file's name holds
their hash. A trial whose file exists is therefore never trained again.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import lru_cache
from hashlib import sha256 as hash_of
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from anaume.encoder.load import load_encoder, open_tokenizer
from anaume.errors import UserError
from anaume.evals.jglue.hold_out import hold_out
from anaume.evals.jglue.read import TaskData, read_task
from anaume.evals.jglue.scores import finite, measure
from anaume.evals.jglue.tasks import GridTask
from anaume.files.objects import is_of, read_object
from anaume.finetune.examples import Example
from anaume.finetune.items import MAX_LENGTH, Encoded, encode
from anaume.finetune.train import BATCH, Settings, predict, steps_of, train

# Types of the entries of a trial's file.
FORM = {
    **{"inputs": dict, "metrics": dict, "examples": dict, "truncated": dict, "max_length": int},
    **{"attention": str, "steps": int, "seconds": int | float},
}

# Settings with a default, and the default.
OPTIONAL = {field.name: field.default for field in fields(Settings) if field.default is not MISSING}

# Part of every hash: a higher number makes all trials run again. Raise it when the same inputs give other numbers.
FORMAT = 1


@dataclass(frozen=True)
class TaskFamily:
    """How tasks of one origin are used. Functions of modules, so that an experiment can go to another process.

    `read`      (task, path) → its data, whose task is the given one, completed by what the data tell
    `hold_out`  (task, examples, seed) → "train" and "held_out"
    `encode`    (task, tokenizer, examples, longest row) → ids
    `measure`   (task, encoded split, logits) → metrics
    """

    read: Callable[[Any, Path], TaskData]
    hold_out: Callable[[Any, Sequence[Example], int], dict[str, tuple[Example, ...]]]
    encode: Callable[[Any, Any, tuple[Example, ...], int], Encoded]
    measure: Callable[[Any, Encoded, Sequence[NDArray[np.float32]]], dict[str, float]]


def _encode(task: GridTask, tokenizer: Any, examples: tuple[Example, ...], max_length: int) -> Encoded:
    return encode(tokenizer, task.head.kind, examples, max_length)


JGLUE = TaskFamily(read_task, hold_out, _encode, measure)


@dataclass(frozen=True)
class Experiment:
    """One model on one task.

    `name`          the model's name in its records
    `max_length`    longest input of the model in tokens
    `architecture`  checksum of the model's config; models with equal ones take equally long to train
    `identity`      checksums of the model and of the data's files, and the type of the device
    `notes`         remarks on the data that a reader of the scores needs
    """

    model: str
    name: str
    max_length: int
    architecture: str
    data: Path
    task: GridTask
    identity: dict[str, Any] = field(hash=False)
    notes: tuple[str, ...]
    family: TaskFamily = JGLUE


@dataclass(frozen=True)
class Trial:
    """One training. With a `split_seed`, a tenth of the training split is held out, and only this tenth is scored."""

    settings: Settings
    split_seed: int | None = None


def open_experiments(
    models: Sequence[str], data: Path, tasks: Sequence[GridTask], family: TaskFamily = JGLUE
) -> list[Experiment]:
    """Return each model on each task, after reading and checking all files of both.

    Raises:
        UserError: data or a model that can't be read.
    """
    all_data = [family.read(task, data) for task in tasks]
    experiments = []
    for model in models:
        encoder = load_encoder(model, masked_lm=False)
        identity = {"model": encoder.revision, "device": encoder.device.type}
        architecture = _architecture(encoder.model.config)
        experiments += [
            Experiment(
                model,
                encoder.name,
                encoder.max_length,
                architecture,
                data,
                task_data.task,
                {**identity, "data": task_data.sha256},
                task_data.notes,
                family,
            )
            for task_data in all_data
        ]
    return experiments


def _architecture(config: Any) -> str:
    settings = {name: value for name, value in config.to_diff_dict().items() if name[0] != "_"}
    return hash_of(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def trial_path(experiment: Experiment, trial: Trial, folder: Path) -> Path:
    """Return the trial's file. Its name holds the settings, for people, and a hash of all inputs."""
    digest = hash_of(json.dumps(_inputs(experiment, trial), sort_keys=True).encode()).hexdigest()[:12]
    settings = trial.settings
    part = "train" if trial.split_seed is None else f"held-out-{trial.split_seed}"
    name = f"{part}-{settings.learning_rate:g}-{settings.epochs}-seed-{settings.seed}-{digest}.json"
    return folder / experiment.name.replace("/", "--") / experiment.task.name / name


def _inputs(experiment: Experiment, trial: Trial) -> dict[str, Any]:
    constants = {"format": FORMAT, "task": experiment.task.name, "batch": BATCH, "max_length": MAX_LENGTH}
    files = _files_used(experiment.task, experiment.identity["data"], trial.split_seed)
    identity = {**experiment.identity, "data": files}
    settings = asdict(trial.settings)
    # Left out where they have their defaults, so that the names of older trials stay valid.
    settings = {key: value for key, value in settings.items() if key not in OPTIONAL or value != OPTIONAL[key]}
    return {**constants, **experiment.task.inputs, **identity, **settings, "split_seed": trial.split_seed}


def _files_used(task: GridTask, files: dict[str, str], split_seed: int | None) -> dict[str, str]:
    """Return the checksums of the files that a trial uses: with a held-out tenth, only the training split's."""
    if split_seed is None:
        return files
    return {name: checksum for name, checksum in files.items() if task.trains_on(name)}


def read_trial(path: Path) -> dict[str, Any]:
    """Read a trial's file.

    Raises:
        UserError: the file is damaged; without it, the trial is trained again.
    """
    content = read_object(path, "a trial of a grid", FORM)
    splits = content["metrics"].values()
    if not all(isinstance(split, dict) and all(is_of(v, int | float) for v in split.values()) for split in splits):
        raise UserError(f"{path}: metrics: not a trial of a grid; expected numbers for each split")
    return content


def missing_trials(experiment: Experiment, trials: Sequence[Trial], folder: Path) -> list[Trial]:
    """Return the trials without a file, each of them once."""
    return [trial for trial in dict.fromkeys(trials) if not trial_path(experiment, trial, folder).exists()]


def run_trial(
    experiment: Experiment, trial: Trial, device: torch.device, advance: Callable[[int], None]
) -> dict[str, Any]:
    """Train and measure, and return the content of the trial's file. `advance(1)` is called after each step."""
    start_time = time.perf_counter()
    task = experiment.task
    splits, max_length = encoded_splits(experiment, trial.split_seed)
    network = train(experiment.model, task.head, splits, trial.settings, device, lambda: advance(1))
    outputs = {name: predict(network, task.head.kind, split.items) for name, split in splits.items() if name != "train"}
    return {
        "inputs": _inputs(experiment, trial),
        "metrics": {name: experiment.family.measure(task, splits[name], logits) for name, logits in outputs.items()},
        "finite": all(finite(logits) for logits in outputs.values()),
        "examples": {name: len(split.examples) for name, split in splits.items()},
        "truncated": {name: split.truncated for name, split in splits.items()},
        "max_length": max_length,
        "attention": network.config._attn_implementation,
        "steps": steps_of(len(splits["train"].items), trial.settings.epochs),
        "seconds": round(time.perf_counter() - start_time, 2),
    }


@lru_cache(maxsize=2)
def encoded_splits(experiment: Experiment, split_seed: int | None) -> tuple[dict[str, Encoded], int]:
    """Return the splits of a trial as token ids, and the longest row in tokens. Cached, because many trials share them.

    Raises:
        UserError: a file has changed since the experiment was opened, so the trials' names would be wrong.
    """
    task_data = experiment.family.read(experiment.task, experiment.data)
    before, now = (
        _files_used(experiment.task, files, split_seed) for files in (experiment.identity["data"], task_data.sha256)
    )
    if changed := sorted({name for name, _ in before.items() ^ now.items()}):
        raise UserError(
            f"{experiment.data}: {changed[0]}: changed since the evaluation began; expected the same file (the same"
            " command again takes it as it is now)"
        )
    splits = task_data.splits
    if split_seed is not None:
        splits = experiment.family.hold_out(experiment.task, splits["train"], split_seed)
    tokenizer = open_tokenizer(experiment.model, masked_lm=False)
    max_length = min(MAX_LENGTH, experiment.max_length)
    encode_split = experiment.family.encode
    return {
        name: encode_split(experiment.task, tokenizer, split, max_length) for name, split in splits.items()
    }, max_length


def trial_size(experiment: Experiment, trial: Trial) -> tuple[int, int]:
    """Return the number of training steps of a trial and the number of items that it is scored on."""
    splits, _ = encoded_splits(experiment, trial.split_seed)
    items = {name: len(split.items) for name, split in splits.items()}
    return steps_of(items.pop("train"), trial.settings.epochs), sum(items.values())
