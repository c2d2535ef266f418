"""JGLUE v1.3 and JCoLA v1.0 as their authors publish them: a folder → the examples of each split of a task.

A folder holds jsts-v1.3/train-v1.3.json and so on, by itself or inside the repositories' own datasets/ (JGLUE) or data/
(JCoLA). The rule: a test split is given only if it has labels and the training split does not hold it.
(Kurihara and others, "JGLUE", LREC 2022; Someya and others, "JCoLA", arXiv 2309.12676.)
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anaume.corpus.rows import read_rows, text_of
from anaume.errors import UserError
from anaume.files import sha256
from anaume.finetune.examples import Answer, Example, Head, Kind

# Where the repositories keep the folders of the tasks.
LAYOUTS = ("", "datasets", "data")
# A test split that shares more of its examples with the training split is left out; JSTS's shares none.
LEAK = 0.01
# The published files by SHA-256: yahoojapan/JGLUE at commit 6f071c0, osekilab/JCoLA at 736d9ee. Of a file that is not
# here (JSQuAD's training split, JCommonsenseQA's test split) the checksum is recorded when it is fetched.
PUBLISHED = {
    "jsts-v1.3/train-v1.3.json": "db6bd653270ac9786759920413a48973164d322998f34dd4ae32202af5e66969",
    "jsts-v1.3/valid-v1.3.json": "7c0bdcb381179f01096c635d058853d96da1e1248d23fe3f5c2beed5dc2d9b1a",
    "jsts-v1.3/test-v1.3.json": "b31ff21e07f47d580b7eb90802da45bf6a60e34fec886e28df7a21faf4469089",
    "jnli-v1.3/train-v1.3.json": "c506354d1310807f7300cfa8ad49482c6359a84fe85eea8d5e667d90d338d1c4",
    "jnli-v1.3/valid-v1.3.json": "ca0353efc7c2eebfb6de4e13f16295053c8b1ee65e7b0849190c90426fbc495f",
    "jnli-v1.3/test-v1.3.json": "f40849584d4291ec172dcd869646800cc8c82457cde2260a0f45934eda307792",
    "jcola-v1.0/in_domain_train-v1.0.json": "c665f8a8b371b34c3c8947cde3670637cf0403ac7529ba8bb62370d07f008396",
    "jcola-v1.0/in_domain_valid-v1.0.json": "677fb021886b6829d6a84e8ca9f62808f6bd479fa829439f49eac4f94f23658c",
    "jcola-v1.0/out_of_domain_valid-v1.0.json": "029d60eb01a96ef333ffb247468bc3123f7a31a2668fa83757dd57af3ad50237",
    "jsquad-v1.3/valid-v1.3.json": "fb0a57a35281ff03bbe7f0e878cff5b577985fbe6fcb242e7e8ddb63d1c0ab11",
    "jsquad-v1.3/test-v1.3.json": "0078f3f2e1604a201700c24139e198344fa689e02282fc00adaa31687cce2aff",
    "jcommonsenseqa-v1.3/train-v1.3.json": "9b55fae5ecb3aedd6f8ce5bc09196c3b629864668ec6c18eee4d65c0aa48229e",
    "jcommonsenseqa-v1.3/valid-v1.3.json": "0d8d76f3bfa0d174866939882faccdd01fbc2bcd5a76c43748ba0c40a7b3b8d4",
}


@dataclass(frozen=True)
class JglueTask:
    """What a task is and where it lies.

    `folder`   the folder's name; MARC-ja, which each user must build, has any version
    `metric`   what a cell is chosen by
    `fields`   those that hold the texts
    `classes`  the labels as the files spell them, in the order of their numbers
    `stems`    split → how its file's name begins; only `test` may be absent
    """

    name: str
    folder: str
    kind: Kind
    metric: str
    fields: tuple[str, ...] = ()
    classes: tuple[Any, ...] = ()
    stems: tuple[tuple[str, str], ...] = (("train", "train"), ("validation", "valid"), ("test", "test"))

    @property
    def head(self) -> Head:
        """The head that fine-tuning on the task needs."""
        return Head(self.name, self.kind, len(self.classes))

    def files(self, folder: str) -> dict[str, str]:
        """Split → name of the file in a folder of this name, which ends in the version."""
        return {split: f"{stem}-{folder.rsplit('-', 1)[1]}.json" for split, stem in self.stems}


_PAIR = ("sentence1", "sentence2")
_DOMAINS = (
    ("train", "in_domain_train"),
    ("validation", "in_domain_valid"),
    ("out_of_domain", "out_of_domain_valid"),
)
_CHOICES = tuple(f"choice{i}" for i in range(5))
TASKS = {
    task.name: task
    for task in (
        JglueTask("jsts", "jsts-v1.3", "similarity", "pearson", _PAIR),
        JglueTask("jnli", "jnli-v1.3", "classes", "accuracy", _PAIR, ("contradiction", "entailment", "neutral")),
        JglueTask("jcola", "jcola-v1.0", "classes", "accuracy", ("sentence",), (0, 1), _DOMAINS),
        JglueTask("jsquad", "jsquad-v1.3", "span", "f1"),
        JglueTask(
            "jcommonsenseqa", "jcommonsenseqa-v1.3", "choice", "accuracy", ("question", *_CHOICES), tuple(range(5))
        ),
        JglueTask("marc-ja", "marc_ja-v1.*", "classes", "accuracy", ("sentence",), ("negative", "positive")),
    )
}
MAX_SIMILARITY = 5.0


@dataclass(frozen=True)
class Data:
    """A task's examples.

    `splits`   "train", "validation" and, where they may be scored, "test" and "out_of_domain"
    `sha256`   file → its checksum
    `notes`    what a reader of the scores must know: files that are not the published ones, a test split left out
    """

    task: JglueTask
    splits: dict[str, tuple[Example, ...]]
    sha256: dict[str, str]
    notes: tuple[str, ...]


def named(names: Sequence[str]) -> list[JglueTask]:
    """The tasks of these names.

    Raises:
        UserError: an unknown one.
    """
    if unknown := [name for name in names if name not in TASKS]:
        raise UserError(f"task {unknown[0]!r}; accepted: {', '.join(TASKS)}")
    return [TASKS[name] for name in dict.fromkeys(names)]


def public() -> list[JglueTask]:
    """The tasks that can be downloaded: all but MARC-ja, whose reviews Amazon withdrew."""
    return [task for task in TASKS.values() if task.name != "marc-ja"]


def present(data: Path) -> list[JglueTask]:
    """The tasks whose folders are there.

    Raises:
        UserError: none.
    """
    found = [task for task in TASKS.values() if folder_of(task, data)]
    if not found:
        folders = ", ".join(task.folder for task in TASKS.values())
        raise UserError(f"{data}: no task's folder in it; accepted: {folders}")
    return found


def folder_of(task: JglueTask, data: Path) -> Path | None:
    """Where the task's files lie below `data`; of several versions of MARC-ja the last."""
    for layout in LAYOUTS:
        if found := sorted(path for path in (data / layout).glob(task.folder) if path.is_dir()):
            return found[-1]
    return None


def read(task: JglueTask, data: Path) -> Data:
    """Read and check a task's files.

    Raises:
        UserError: naming file and line: a missing split, a wrong field, an empty text, a label out of range.
    """
    folder = folder_of(task, data)
    if folder is None:
        raise UserError(f"{data}: no folder {task.folder} for {task.name}; --fetch gets what is public")
    splits: dict[str, tuple[Example, ...]] = {}
    checksums: dict[str, str] = {}
    notes: list[str] = []
    for split, file in task.files(folder.name).items():
        path = folder / file
        if split == "test" and not path.is_file():
            continue
        if not path.is_file():
            raise UserError(f"{path}: no such file, so {task.name} has no {split} split; --tasks leaves a task out")
        examples = _read_spans(path) if task.kind == "span" else _read_lines(task, path)
        name = f"{folder.name}/{file}"
        if split == "test" and (examples is None or (shared := _shared(examples, splits["train"])) > LEAK):
            why = "has no labels" if examples is None else f"is to {shared:.0%} in the training split"
            notes.append(f"{name} {why}: not scored")
            continue
        if examples is None:
            raise UserError(f"{path}: no row has a 'label'; {task.name} needs labels for {split}")
        splits[split] = examples
        checksums[name] = sha256(path)
        if checksums[name] != PUBLISHED.get(name, checksums[name]):
            notes.append(f"{name} is not the published file")
    return Data(task, splits, checksums, tuple(notes))


def _shared(examples: Sequence[Example], others: Sequence[Example]) -> float:
    """The share of examples whose texts are those of one of the others, in whatever order."""
    known = {tuple(sorted(example.texts)) for example in others}
    return sum(tuple(sorted(example.texts)) in known for example in examples) / len(examples)


def _read_lines(task: JglueTask, path: Path) -> tuple[Example, ...] | None:
    """JSON lines; None if no row has a label."""
    rows = list(read_rows(path))
    if not any("label" in row for _, row in rows):
        return None
    label = _similarity if task.kind == "similarity" else _class_of(task.classes)
    return tuple(
        Example(tuple(text_of(row, key, place) for key in task.fields), label(_field(row, "label", place), place))
        for place, row in rows
    )


def _similarity(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SIMILARITY:
        raise UserError(f"{place}: 'label' is {value!r}; accepted: a number from 0 to 5")
    return float(value)


def _class_of(classes: tuple[Any, ...]) -> Callable[[Any, str], float]:
    def number(value: Any, place: str) -> float:
        if isinstance(value, bool) or value not in classes:
            raise UserError(f"{place}: 'label' is {value!r}; accepted: {', '.join(map(str, classes))}")
        return float(classes.index(value))

    return number


def _read_spans(path: Path) -> tuple[Example, ...]:
    """JSQuAD: articles of paragraphs of questions (SQuAD 1.1's form)."""
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error})") from error
    examples = []
    for a, article in enumerate(_list(content, "data", str(path))):
        for p, paragraph in enumerate(_list(article, "paragraphs", f"{path}: article {a}")):
            place = f"{path}: article {a}, paragraph {p}"
            for question in _list(paragraph, "qas", place):
                examples.append(_question(question, text_of(paragraph, "context", place), f"{place}, question", str(a)))
    if not examples:
        raise UserError(f"{path}: no questions, expected articles of paragraphs of questions")
    return tuple(examples)


def _question(row: Any, context: str, place: str, group: str) -> Example:
    place = f"{place} {_field(row, 'id', place)}"
    answers = []
    for found in _list(row, "answers", place):
        text, start = text_of(found, "text", place), _field(found, "answer_start", place)
        if not isinstance(start, int) or start < 0 or not context.startswith(text, start):
            raise UserError(f"{place}: the context has no {text!r} at answer_start {start!r}")
        answers.append(Answer(text, start))
    if not answers:
        raise UserError(f"{place}: no answers, expected one at least")
    return Example((text_of(row, "question", place), context), answers=tuple(answers), group=group)


def _field(row: Any, key: str, place: str) -> Any:
    if not isinstance(row, dict) or key not in row:
        raise UserError(f"{place}: lacks {key!r} (has {', '.join(row) if isinstance(row, dict) else row!r:.40})")
    return row[key]


def _list(row: Any, key: str, place: str) -> list[Any]:
    value = _field(row, key, place)
    if not isinstance(value, list):
        raise UserError(f"{place}: {key!r} must be a list, got {value!r:.40}")
    return value
