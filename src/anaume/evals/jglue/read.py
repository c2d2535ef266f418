"""A task's files → the examples of each split, checked.

The rule: a test split is given only if it has labels and the training split does not hold it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anaume.corpus.document import Unreadable
from anaume.corpus.lines import UTF_8, decode
from anaume.corpus.rows import parse_json, read_rows, text_of
from anaume.errors import UserError
from anaume.evals.jglue.tasks import PUBLISHED, GridTask, JglueTask, find_folder
from anaume.files import sha256
from anaume.finetune.examples import Answer, Example

# A test split that shares a larger fraction of its examples with the training split is left out. JSTS's shares none.
MAX_LEAK = 0.01
# Highest label of JSTS.
MAX_SIMILARITY = 5.0


@dataclass(frozen=True)
class TaskData:
    """A task's examples.

    `splits`   "train", "validation" and, where they may be scored, "test" and "out_of_domain"
    `sha256`   file → its checksum
    `notes`    remarks for a reader of the scores: files that are not the published ones, a test split left out
    """

    task: GridTask
    splits: dict[str, tuple[Example, ...]]
    sha256: dict[str, str]
    notes: tuple[str, ...]


def read_task(task: JglueTask, data: Path) -> TaskData:
    """Read and check a task's files below the folder `data`.

    Raises:
        UserError: names file and line of a missing split, a wrong field, an empty text, a label out of range.
    """
    folder = find_folder(task, data)
    if folder is None:
        raise UserError(
            f"{data}: {task.name}: no such task; expected a folder {task.folder} (--fetch gets public ones)"
        )
    splits: dict[str, tuple[Example, ...]] = {}
    checksums: dict[str, str] = {}
    notes: list[str] = []
    for split, file in task.files(folder.name).items():
        path = folder / file
        if split == "test" and not path.is_file():
            continue
        if not path.is_file():
            raise UserError(
                f"{path}: no such file; expected the {split} split of {task.name} (--tasks leaves tasks out)"
            )
        examples = _read_spans(path) if task.kind == "span" else _read_lines(task, path)
        name = f"{folder.name}/{file}"
        if split == "test" and (examples is None or (shared := _shared(examples, splits["train"])) > MAX_LEAK):
            why = "has no labels" if examples is None else f"is to {shared:.0%} in the training split"
            notes.append(f"{name} {why}: not scored")
            continue
        if examples is None:
            raise UserError(f"{path}: no row has a `label`; expected labels in the {split} split of {task.name}")
        splits[split] = examples
        checksums[name] = sha256(path)
        if checksums[name] != PUBLISHED.get(name, checksums[name]):
            notes.append(f"{name} is not the published file")
    return TaskData(task, splits, checksums, tuple(notes))


def _shared(examples: Sequence[Example], others: Sequence[Example]) -> float:
    """Return the fraction of `examples` whose texts, in any order, are those of one of `others`."""
    known = {tuple(sorted(example.texts)) for example in others}
    return sum(tuple(sorted(example.texts)) in known for example in examples) / len(examples)


def _read_lines(task: JglueTask, path: Path) -> tuple[Example, ...] | None:
    """Read JSON lines; None if no row has a label."""
    rows = list(read_rows(path))
    if not any("label" in row for _, row in rows):
        return None
    label = _similarity if task.kind == "similarity" else _number_of(task.classes)
    return tuple(
        Example(tuple(text_of(row, key, place) for key in task.fields), label(_field(row, "label", place), place))
        for place, row in rows
    )


def _similarity(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SIMILARITY:
        raise UserError(f"{place}: `label` is {value!r:.80}; expected a number from 0 to 5")
    return float(value)


def _number_of(classes: tuple[Any, ...]) -> Callable[[Any, str], float]:
    """Return a function of (label, place) that gives the number of a class."""

    def number(value: Any, place: str) -> float:
        if isinstance(value, bool) or value not in classes:
            raise UserError(f"{place}: `label` is {value!r:.80}; expected one of {', '.join(map(str, classes))}")
        return float(classes.index(value))

    return number


def _read_spans(path: Path) -> tuple[Example, ...]:
    """Read JSQuAD's form, which is that of SQuAD 1.1: articles of paragraphs of questions."""
    text = decode(path.read_bytes(), str(path), UTF_8)
    if isinstance(text, Unreadable):
        raise UserError(f"{path}: {text.reason}; expected JSON")
    try:
        content = parse_json(text)
    except ValueError as error:
        raise UserError(f"{path}: {error}; expected JSON") from error
    examples = []
    for a, article in enumerate(_list(content, "data", str(path))):
        for p, paragraph in enumerate(_list(article, "paragraphs", f"{path}: article {a}")):
            place = f"{path}: article {a}, paragraph {p}"
            for question in _list(paragraph, "qas", place):
                examples.append(_question(question, text_of(paragraph, "context", place), f"{place}, question", str(a)))
    if not examples:
        raise UserError(f"{path}: no questions; expected articles of paragraphs of questions")
    return tuple(examples)


def _question(row: Any, context: str, place: str, group: str) -> Example:
    place = f"{place} {_field(row, 'id', place)}"
    answers = []
    for answer in _list(row, "answers", place):
        text, start = text_of(answer, "text", place), _field(answer, "answer_start", place)
        if isinstance(start, bool) or not isinstance(start, int) or start < 0 or not context.startswith(text, start):
            raise UserError(f"{place}: answer_start {start!r}: the context has no {text!r:.80} there")
        answers.append(Answer(text, start))
    if not answers:
        raise UserError(f"{place}: no answers; expected at least one")
    return Example((text_of(row, "question", place), context), answers=tuple(answers), group=group)


def _field(row: Any, key: str, place: str) -> Any:
    if not isinstance(row, dict) or key not in row:
        content = f"it has {', '.join(row) or 'nothing'}" if isinstance(row, dict) else f"it is {row!r}"
        raise UserError(f"{place}: no `{key}` ({content:.80}); expected one")
    return row[key]


def _list(row: Any, key: str, place: str) -> list[Any]:
    value = _field(row, key, place)
    if not isinstance(value, list):
        raise UserError(f"{place}: `{key}` is {value!r:.40}; expected a list")
    return value
