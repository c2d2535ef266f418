"""Cloze questions, for the fill-mask task: JSON lines → texts with one blank and the right words for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anaume.corpus.rows import read_rows, text_of
from anaume.errors import UserError

# A blank in a text, whatever the model's own mask token is.
PLACEHOLDER = "[MASK]"


@dataclass(frozen=True, slots=True)
class Cloze:
    """A text with one [MASK], and the words that are right in its place."""

    text: str
    answers: tuple[str, ...]


def read_cloze(path: Path) -> list[Cloze]:
    """Read JSON lines with `text`, which holds one [MASK], and `answers`, a list of words.

    Raises:
        UserError: names the file, and the line where it is not JSON, has no or several [MASK], no answers or an empty
            one.
    """
    return [_cloze(row, place) for place, row in read_rows(path)]


def _cloze(row: dict[str, Any], place: str) -> Cloze:
    text = text_of(row, "text", place)
    if (count := text.count(PLACEHOLDER)) != 1:
        raise UserError(f"{place}: `text` is {text!r:.80}: {count} {PLACEHOLDER} in it; expected one")
    answers = row.get("answers")
    if not isinstance(answers, list) or not answers:
        raise UserError(f"{place}: `answers` is {answers!r:.80}; expected a list of words")
    return Cloze(text, tuple(text_of({"answers": answer}, "answers", place) for answer in answers))
