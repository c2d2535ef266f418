"""Evaluation files → their items with the texts that a training corpus might hold.

An item of JSON lines (pairs, cloze questions, JGLUE, JCoLA, entities) is a line, with the texts of its known fields; a
blank is filled with each answer. An item of a SQuAD file is a question with its context. A .txt file is one item.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anaume.corpus.document import Unreadable
from anaume.corpus.lines import UTF_8, decode
from anaume.corpus.rows import parse_json, read_rows
from anaume.errors import UserError
from anaume.evals.inputs.cloze import PLACEHOLDER

FIELDS = ("text", "query", "positive", "sentence", "sentence1", "sentence2", "question", "context")
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".txt")
SQUAD = b'{"data"'


@dataclass(frozen=True, slots=True)
class EvaluationItem:
    """An evaluation item: its number in the file, from 1 (for JSON lines its line), and its texts."""

    number: int
    texts: tuple[str, ...]


def data_files(paths: list[Path]) -> list[Path]:
    """Return the files, and all JSON and text files below the folders, in order.

    Raises:
        UserError: a path does not exist, a folder has no such file, or a file is given twice.
    """
    files: list[Path] = []
    for path in paths:
        below = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES)) if path.is_dir() else [path]
        if not path.exists():
            raise UserError(f"--against {path}: no such file; expected evaluation data")
        if not below:
            raise UserError(f"--against {path}: holds no data; expected files of {', '.join(SUFFIXES)}")
        files += below
    if twice := next((file for file in files if files.count(file) > 1), None):
        raise UserError(f"--against {twice}: given twice; expected each file once")
    return files


def read_items(path: Path) -> list[EvaluationItem]:
    """Read the items of a file.

    Raises:
        UserError: names the file, and the line that is no object or has none of the known fields.
    """
    if path.name.endswith(".txt"):
        return [EvaluationItem(1, (_whole(path),))]
    with path.open("rb") as stream:
        is_squad = stream.read(len(SQUAD) + 16).replace(b" ", b"").replace(b"\n", b"").startswith(SQUAD)
    if is_squad:
        return [EvaluationItem(number, texts) for number, texts in enumerate(_squad(path), 1)]
    return [
        EvaluationItem(item_number(place, number), _texts(row, place))
        for number, (place, row) in enumerate(read_rows(path), 1)
    ]


def item_number(place: str, number: int) -> int:
    """The number of an item: its line where `place` names one, else its number in the file."""
    line = place.rpartition(":")[2]
    return int(line) if line.isdigit() else number


def _texts(row: dict[str, Any], place: str) -> tuple[str, ...]:
    texts = [row[field] for field in FIELDS if isinstance(row.get(field), str)]
    if not texts:
        raise UserError(f"{place}: no text (it has {', '.join(row) or 'nothing':.80}); expected {', '.join(FIELDS)}")
    answers = row.get("answers")
    words = [word for word in answers if isinstance(word, str)] if isinstance(answers, list) else []
    return tuple(
        filled
        for text in texts
        for filled in ([text.replace(PLACEHOLDER, word) for word in words] if PLACEHOLDER in text and words else [text])
    )


def _whole(path: Path) -> str:
    text = decode(path.read_bytes(), str(path), UTF_8)
    if isinstance(text, Unreadable):
        raise UserError(f"{path}: {text.reason}; expected UTF-8")
    return text


def _squad(path: Path) -> Iterator[tuple[str, ...]]:
    try:
        content = parse_json(_whole(path))
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                for question in paragraph["qas"]:
                    yield question["question"], paragraph["context"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not SQuAD's form ({error!r:.80}); expected data, paragraphs, qas, context") from error
