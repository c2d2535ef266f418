"""The cells of a grid: a model, a task and settings → a training, its metrics and the file that keeps them.

The rule: what is in a cell's file depends on its inputs alone (the model's files, the data's, the settings), and the
file is named by them; so what was once trained is never trained again.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from hashlib import sha256 as hash_of
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anaume.errors import UserError
from anaume.evals import encoder
from anaume.evals.finetune import BATCH, MAX_LENGTH, Encoded, Settings, encode, measure, predict, steps_of, train
from anaume.evals.jglue import Example, Task, read
from anaume.files import sha256

# To be raised when the same inputs begin to give other numbers.
FORMAT = 1
HELD_OUT = 0.1
# What a model's numbers depend on; its README does not count.
MODEL_FILES = ("config.json", "*.safetensors", "*.bin", "*.model", "vocab*", "tokenizer*", "special_tokens_map.json")


@dataclass(frozen=True)
class Study:
    """What the cells of one model on one task share.

    `name`      the model's in its records
    `identity`  which model, data and device these are, by checksums
    `notes`     what the data's reader must know
    """

    model: str
    name: str
    data: Path
    task: Task
    identity: dict[str, Any] = field(hash=False)
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One training. With a `split_seed` a tenth of the training split is held out and scored; else the other splits."""

    settings: Settings
    split_seed: int | None = None


def studies(models: Sequence[str], data: Path, tasks: Sequence[Task]) -> list[Study]:
    """Every task with every model, after a look at all files of both.

    Raises:
        UserError: data or a model that can't be read, two models of one name.
    """
    encoder.check_names(models)
    found = [read(task, data) for task in tasks]
    made = []
    for model in models:
        opened = encoder.load(model, masked_lm=False)
        identity = {"model": _revision(model, opened), "device": opened.device.type}
        made += [Study(model, opened.name, data, f.task, {**identity, "data": f.sha256}, f.notes) for f in found]
    return made


def _revision(model: str, opened: encoder.Encoder) -> str:
    """The commit of a Hub id; of a folder, a checksum of its files."""
    folder = Path(model)
    if not folder.is_dir():
        return str(opened.model.config._commit_hash)
    files = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern) if path.is_file()})
    return hash_of("".join(f"{path.name} {sha256(path)}\n" for path in files).encode()).hexdigest()


def path_of(study: Study, cell: Cell, folder: Path) -> Path:
    """The cell's file: settings to be read by people, then a hash of all its inputs."""
    digest = hash_of(json.dumps(_inputs(study, cell), sort_keys=True).encode()).hexdigest()[:12]
    s = cell.settings
    part = "train" if cell.split_seed is None else f"held-out-{cell.split_seed}"
    name = f"{part}-{s.learning_rate:g}-{s.epochs}-seed-{s.seed}-{digest}.json"
    return folder / study.name.replace("/", "--") / study.task.name / name


def _inputs(study: Study, cell: Cell) -> dict[str, Any]:
    shared = {"format": FORMAT, "task": study.task.name, "batch": BATCH, "max_length": MAX_LENGTH}
    return {**shared, **study.identity, **asdict(cell.settings), "split_seed": cell.split_seed}


def missing(study: Study, cells: Sequence[Cell], folder: Path) -> list[Cell]:
    """Those whose files aren't there, each once."""
    return [cell for cell in dict.fromkeys(cells) if not path_of(study, cell, folder).exists()]


def make(study: Study, cell: Cell, device: torch.device, advance: Callable[[int], None]) -> dict[str, Any]:
    """Train a cell and measure it: what its file holds. `advance` hears of each step."""
    started = time.perf_counter()
    splits, max_length = encoded(study, cell.split_seed)
    network = train(study.model, study.task, splits, cell.settings, device, lambda: advance(1))
    return {
        "inputs": _inputs(study, cell),
        "metrics": {
            name: measure(study.task, split, predict(network, study.task.kind, split.items))
            for name, split in splits.items()
            if name != "train"
        },
        "examples": {name: len(split.examples) for name, split in splits.items()},
        "truncated": {name: split.truncated for name, split in splits.items()},
        "max_length": max_length,
        "attention": network.config._attn_implementation,
        "steps": steps_of(len(splits["train"].items), cell.settings.epochs),
        "seconds": round(time.perf_counter() - started, 2),
    }


@lru_cache(maxsize=2)
def encoded(study: Study, split_seed: int | None) -> tuple[dict[str, Encoded], int]:
    """The splits of a cell as ids, and the longest row allowed; kept, for many cells have the same."""
    opened = encoder.load(study.model, masked_lm=False)
    max_length = min(MAX_LENGTH, opened.max_length)
    splits = read(study.task, study.data).splits
    if split_seed is not None:
        splits = hold_out(splits["train"], split_seed)
    return {name: encode(opened.tokenizer, study.task, split, max_length) for name, split in splits.items()}, max_length


def hold_out(examples: Sequence[Example], seed: int) -> dict[str, tuple[Example, ...]]:
    """The training split without a tenth ("train"), and that tenth ("held_out"): the same for every model.

    Questions on one article stay on one side.

    Raises:
        UserError: nothing would be left to train on.
    """
    groups = [example.group or str(i) for i, example in enumerate(examples)]
    sizes = Counter(groups)
    names = list(sizes)
    order = [names[i] for i in np.random.default_rng((seed, len(examples))).permutation(len(names))]
    enough = np.searchsorted(np.cumsum([sizes[name] for name in order]), HELD_OUT * len(examples))
    held = set(order[: int(enough) + 1])
    if len(held) == len(names):
        raise UserError(f"{len(examples)} examples are too few to hold a tenth out; accepted: --protocol paper")
    return {
        part: tuple(example for example, group in zip(examples, groups, strict=True) if (group in held) is side)
        for part, side in (("train", False), ("held_out", True))
    }


def sizes_of(study: Study, cell: Cell) -> tuple[int, int]:
    """The steps of a cell, and the items that it is scored on."""
    splits, _ = encoded(study, cell.split_seed)
    items = {name: len(split.items) for name, split in splits.items()}
    return steps_of(items.pop("train"), cell.settings.epochs), sum(items.values())
