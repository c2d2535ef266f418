"""A file or folder of texts with entities → training and validation splits, encoded for a model.

The rule: what a tokenizer can't return is counted before anything is trained. With the split "auto", pieces are cut no
finer than a ceiling of 99.9 % asks for.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from anaume.errors import UserError
from anaume.evals.jglue.hold_out import HELD_OUT, divide, draw_part
from anaume.evals.jglue.read import TaskData
from anaume.evals.jglue.scores import finite
from anaume.evals.ner.read import SUFFIXES, read_entities
from anaume.evals.ner.scores import entity_scores
from anaume.files import sha256
from anaume.finetune.borders import Split, split_tokenizer
from anaume.finetune.entities import ceiling, encode_entities, label_names, predicted_entities
from anaume.finetune.examples import Example, Head
from anaume.finetune.items import Encoded

# Share of the training split's entities that a perfect tagger must return exactly.
MIN_CEILING = 0.999
# Share of the texts that become the validation split of a single file, and the seed by which they are drawn.
VALIDATION, DATA_SEED = 0.2, 0
# First word of a file's name → its split.
SPLITS = {"train": "train", "test": "test", "testb": "test"}
SPLITS |= dict.fromkeys(("validation", "valid", "dev", "testa"), "validation")


@dataclass(frozen=True)
class EntityTask:
    """The task of finding entities.

    `types`     types of the entities, in the order of their labels; empty before the data are read
    `split`     where the tokenizer ends its pieces, or "auto" before a tokenizer is known
    `training`  names of the files that hold the training split
    """

    split: Split | str = "auto"
    types: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    name: str = "ner"
    metric: str = "f1"

    @property
    def head(self) -> Head:
        """The head: a class for each label of a token."""
        names = label_names(self.types)
        return Head(self.name, "tokens", len(names), names)

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The tokenizer's split, and how a single file is divided."""
        return {"split": self.split, "validation_share": VALIDATION, "data_seed": DATA_SEED}

    def trains_on(self, file: str) -> bool:
        """Whether a file of the data holds the training split."""
        return file in self.training


def check_split(split: str) -> None:
    """Check the option `--split`.

    Raises:
        UserError: the split is unknown.
    """
    if split not in (expected := ("auto", *get_args(Split))):
        raise UserError(f"--split: {split}: unknown; expected one of {', '.join(expected)}")


def read_task(task: EntityTask, data: Path) -> TaskData:
    """Read a file, of which a fifth becomes the validation split, or a folder with a file for each split.

    Texts with a common id or of equal wording stay in one part of a file. Where a folder has no validation split, the
    test split takes its place.

    Raises:
        UserError: a split is missing, or the training or validation split has no entities; see `read_entities`.
    """
    files = _files(data)
    parts = {split: [e for path in paths for e in read_entities(path)] for split, paths in files.items()}
    notes = []
    if set(parts) == {""}:
        drawn = draw_part([_keys(example) for example in parts[""]], VALIDATION, DATA_SEED)
        splits = divide(parts[""], drawn, "validation")
        files = {"train": files[""]}
        notes.append(f"a fifth of the file, drawn by id with seed {DATA_SEED}, is the validation split")
    else:
        splits = {name: tuple(examples) for name, examples in parts.items()}
        if "validation" not in splits:
            splits = {"train": splits["train"], "validation": splits["test"]}
            notes.append("the test split stands in for a validation split")
    counts = {name: Counter(e.type for example in part for e in example.entities) for name, part in splits.items()}
    for name in ("train", "validation"):
        if not counts[name]:
            raise UserError(f"{data}: no entity in the {name} split ({len(splits[name])} texts); expected some")
    for name in [name for name in splits if name != "train"]:
        notes += [
            f"{name}: {kind} ({number}) does not occur in the training split, so none can be found"
            for kind, number in sorted(counts[name].items())
            if kind not in counts["train"]
        ]
    types = tuple(sorted(set().union(*counts.values())))
    checksums = {path.name: sha256(path) for paths in files.values() for path in paths}
    read = replace(task, types=types, training=tuple(path.name for path in files["train"]))
    return TaskData(read, splits, checksums, tuple(notes))


def _files(data: Path) -> dict[str, list[Path]]:
    """Return split → its files; the split "" for a single file."""
    if not data.is_dir():
        return {"": [data]}
    found: dict[str, list[Path]] = {}
    for path in sorted(path for folder in (data, data / "data") for path in folder.glob("*") if path.is_file()):
        split = SPLITS.get(path.name.replace("-", ".").replace("_", ".").partition(".")[0])
        if split and path.suffix in SUFFIXES:
            found.setdefault(split, []).append(path)
    if "train" not in found or len(found) == 1:
        names = ", ".join(sorted(path.name for path in data.iterdir())[:5])
        raise UserError(
            f"{data}: no files of two splits (it holds {names or 'nothing'}); expected train and validation or test,"
            f" such as train.jsonl and validation.jsonl ({', '.join(SUFFIXES)})"
        )
    return {split: found[split] for split in ("train", "validation", "test") if split in found}


def _keys(example: Example) -> tuple[str, ...]:
    """What no example on the other side may share: the wording and, if there is one, the id."""
    return (f"text {example.texts[0]}", *([f"id {example.group}"] if example.group else []))


def hold_out(task: EntityTask, examples: Sequence[Example], seed: int) -> dict[str, tuple[Example, ...]]:
    """Split examples into "train" and "held_out", a tenth of them; ids and wordings stay together.

    Raises:
        UserError: nothing would be left to train on.
    """
    drawn = draw_part([_keys(example) for example in examples], HELD_OUT, seed)
    if all(drawn):
        raise UserError(f"{task.name}: {len(examples)} texts: too few to hold out a tenth; expected more")
    return divide(examples, drawn, "held_out")


def encode(task: EntityTask, tokenizer: Any, examples: tuple[Example, ...], max_length: int) -> Encoded:
    """Turn texts into rows, by the tokenizer with the task's split."""
    assert task.split in get_args(Split)
    return encode_entities(split_tokenizer(tokenizer, task.split), examples, task.types, max_length)  # type: ignore[arg-type]


def measure(task: EntityTask, encoded: Encoded, outputs: Sequence[NDArray[np.float32]]) -> dict[str, float]:
    """Return the scores of `entity_scores` and the ceiling. Logits that are not finite find nothing."""
    marked = [example.entities for example in encoded.examples]
    predicted = predicted_entities(encoded, outputs, task.types) if finite(outputs) else [() for _ in encoded.examples]
    return entity_scores(marked, predicted, task.types) | {"ceiling": ceiling(encoded, task.types)[0]}


@dataclass(frozen=True)
class SplitCeiling:
    """What a split of the tokenizer costs and allows on a set of texts.

    `ceiling`  share of the entities that a perfect tagger returns exactly; `by_type` for each type
    `tokens`   mean number of tokens for a text; where windows share tokens, these count twice
    `windows`  number of texts that are longer than a row
    """

    split: Split
    ceiling: float
    by_type: dict[str, float]
    tokens: float
    windows: int

    @property
    def line(self) -> str:
        """One line for the terminal; the three types that lose most stand in parentheses."""
        lowest = sorted(self.by_type.items(), key=lambda item: item[1])[:3]
        worst = ", ".join(f"{name} {share:.1%}" for name, share in lowest if share < MIN_CEILING)
        return (
            f"split {self.split}: a perfect tagger returns {self.ceiling:.2%} of the entities exactly"
            f"{f' ({worst})' if worst else ''}; {self.tokens:.1f} tokens a text, {self.windows} texts in windows"
        )


def choose_split(task: EntityTask, tokenizer: Any, examples: tuple[Example, ...], max_length: int) -> SplitCeiling:
    """Return the task's split with its ceiling; for "auto", the first that reaches `MIN_CEILING`, or else the best."""
    tried: list[SplitCeiling] = []
    for split in get_args(Split) if task.split == "auto" else (task.split,):
        encoded = encode(replace(task, split=split), tokenizer, examples, max_length)
        share, by_type = ceiling(encoded, task.types)
        tokens = sum(len(window.characters) for window in encoded.windows) / len(examples)
        tried.append(SplitCeiling(split, share, by_type, tokens, encoded.truncated))
        if share >= MIN_CEILING:
            break
    return max(tried, key=lambda each: each.ceiling)
