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

from anaume.encoder.load import check_names, load_encoder, open_tokenizer
from anaume.errors import UserError
from anaume.evals.jglue.scores import measure
from anaume.evals.jglue.tasks import JglueTask, read
from anaume.finetune.examples import Example
from anaume.finetune.items import MAX_LENGTH, Encoded, encode
from anaume.finetune.train import BATCH, Settings, predict, steps_of, train

# To be raised when the same inputs begin to give other numbers.
FORMAT = 1
HELD_OUT = 0.1


@dataclass(frozen=True)
class Study:
    """What the cells of one model on one task share.

    `name`          the model's in its records
    `max_length`    tokens that it can read
    `architecture`  its config, by a checksum: models alike take equally long
    `identity`      which model, data and device these are, by checksums
    `notes`         what the data's reader must know
    """

    model: str
    name: str
    max_length: int
    architecture: str
    data: Path
    task: JglueTask
    identity: dict[str, Any] = field(hash=False)
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One training. With a `split_seed` a tenth of the training split is held out and scored; else the other splits."""

    settings: Settings
    split_seed: int | None = None


def studies(models: Sequence[str], data: Path, tasks: Sequence[JglueTask]) -> list[Study]:
    """Every task with every model, after a look at all files of both.

    Raises:
        UserError: data or a model that can't be read, two models of one name.
    """
    check_names(models)
    found = [read(task, data) for task in tasks]
    made = []
    for model in models:
        opened = load_encoder(model, masked_lm=False)
        identity = {"model": opened.revision, "device": opened.device.type}
        made += [
            Study(
                model,
                opened.name,
                opened.max_length,
                _architecture(opened.model.config),
                data,
                each.task,
                {**identity, "data": each.sha256},
                each.notes,
            )
            for each in found
        ]
    return made


def _architecture(config: Any) -> str:
    settings = {name: value for name, value in config.to_diff_dict().items() if name[0] != "_"}
    return hash_of(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()


def path_of(study: Study, cell: Cell, folder: Path) -> Path:
    """The cell's file: settings to be read by people, then a hash of all its inputs."""
    digest = hash_of(json.dumps(_inputs(study, cell), sort_keys=True).encode()).hexdigest()[:12]
    s = cell.settings
    part = "train" if cell.split_seed is None else f"held-out-{cell.split_seed}"
    name = f"{part}-{s.learning_rate:g}-{s.epochs}-seed-{s.seed}-{digest}.json"
    return folder / study.name.replace("/", "--") / study.task.name / name


def _inputs(study: Study, cell: Cell) -> dict[str, Any]:
    shared = {"format": FORMAT, "task": study.task.name, "batch": BATCH, "max_length": MAX_LENGTH}
    identity = {**study.identity, "data": _read_by(study.task, study.identity["data"], cell.split_seed)}
    return {**shared, **identity, **asdict(cell.settings), "split_seed": cell.split_seed}


def _read_by(task: JglueTask, files: dict[str, str], split_seed: int | None) -> dict[str, str]:
    """Those of a task's files that decide what is in a cell's: for a held-out tenth the training split alone."""
    if split_seed is None:
        return files
    stem = dict(task.stems)["train"]
    return {name: checksum for name, checksum in files.items() if Path(name).name.startswith(f"{stem}-")}


def missing(study: Study, cells: Sequence[Cell], folder: Path) -> list[Cell]:
    """Those whose files aren't there, each once."""
    return [cell for cell in dict.fromkeys(cells) if not path_of(study, cell, folder).exists()]


def make(study: Study, cell: Cell, device: torch.device, advance: Callable[[int], None]) -> dict[str, Any]:
    """Train a cell and measure it: what its file holds. `advance` hears of each step."""
    started = time.perf_counter()
    splits, max_length = encoded(study, cell.split_seed)
    network = train(study.model, study.task.head, splits, cell.settings, device, lambda: advance(1))
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
    """The splits of a cell as ids, and the longest row allowed; kept, for many cells have the same.

    Raises:
        UserError: a file is no longer the one that the cells are named by.
    """
    found = read(study.task, study.data)
    wanted, there = (_read_by(study.task, files, split_seed) for files in (study.identity["data"], found.sha256))
    if changed := sorted({name for name, _ in wanted.items() ^ there.items()}):
        raise UserError(
            f"{study.data}: {changed[0]} changed since this began; the same command again takes it as it is"
        )
    splits = found.splits if split_seed is None else hold_out(study.task, found.splits["train"], split_seed)
    tokenizer, max_length = open_tokenizer(study.model, masked_lm=False), min(MAX_LENGTH, study.max_length)
    return {name: encode(tokenizer, study.task.kind, split, max_length) for name, split in splits.items()}, max_length


def hold_out(task: JglueTask, examples: Sequence[Example], seed: int) -> dict[str, tuple[Example, ...]]:
    """The training split without a tenth ("train"), and that tenth ("held_out"): the same for every model.

    No sentence of the tenth is in the rest: JNLI has most of its pairs in both directions, and JSTS has many a sentence
    in several pairs. Questions on one article stay on one side, too. Choices bind nothing, for many questions have the
    same.

    Raises:
        UserError: nothing would be left to train on.
    """
    groups = _components([_bonds(task, example) for example in examples])
    sizes = Counter(groups)
    names = list(sizes)
    order = [names[i] for i in np.random.default_rng((seed, len(examples))).permutation(len(names))]
    enough = np.searchsorted(np.cumsum([sizes[name] for name in order]), HELD_OUT * len(examples))
    held = set(order[: int(enough) + 1])
    if len(held) == len(names):
        raise UserError(
            f"{task.name}: {len(examples)} examples (groups without a common text: {len(names)}) are too few to hold a"
            " tenth out; accepted: --protocol paper"
        )
    return {
        part: tuple(example for example, group in zip(examples, groups, strict=True) if (group in held) is side)
        for part, side in (("train", False), ("held_out", True))
    }


def _bonds(task: JglueTask, example: Example) -> tuple[str, ...]:
    """What no two examples may have in common if they are to be on two sides."""
    if task.kind == "span":
        return (example.group,)
    return example.texts[:1] if task.kind == "choice" else example.texts


def _components(keys: Sequence[Sequence[str]]) -> list[int]:
    """The group of each, as the number of one in it: two with a key in common are in one, and so on along a chain."""
    parents = list(range(len(keys)))

    def root(i: int) -> int:
        while parents[i] != i:
            parents[i] = i = parents[parents[i]]
        return i

    first: dict[str, int] = {}
    for i, own in enumerate(keys):
        for key in own:
            parents[root(i)] = root(first.setdefault(key, i))
    return [root(i) for i in range(len(keys))]


def sizes_of(study: Study, cell: Cell) -> tuple[int, int]:
    """The steps of a cell, and the items that it is scored on."""
    splits, _ = encoded(study, cell.split_seed)
    items = {name: len(split.items) for name, split in splits.items()}
    return steps_of(items.pop("train"), cell.settings.epochs), sum(items.values())
