"""Pairs of texts that belong together, for retrieval, geometry and contrastive training: JSON lines → pairs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anaume.corpus.rows import optional_text_of, read_rows, text_of


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and its right answer. `title` (of the answer's page) and `source` (of both texts) may be empty.

    `negatives` are wrong answers that resemble the right one.
    """

    query: str
    positive: str
    title: str = ""
    source: str = ""
    negatives: tuple[str, ...] = ()


def read_pairs(
    path: Path, query_field: str = "query", positive_field: str = "positive", negative_field: str = ""
) -> list[Pair]:
    """Read JSON lines with a query, a positive and, optionally, `title` and `source`.

    `negative_field` names a text or a list of texts, which a row may lack; without it, negatives are not read.

    Raises:
        UserError: names the file, and the line where it is not JSON or a text is missing or empty.
    """
    return [
        Pair(
            text_of(row, query_field, place),
            text_of(row, positive_field, place),
            optional_text_of(row, "title", place),
            optional_text_of(row, "source", place),
            _negatives(row, negative_field, place),
        )
        for place, row in read_rows(path)
    ]


def _negatives(row: dict[str, Any], field: str, place: str) -> tuple[str, ...]:
    if not field or row.get(field) is None:
        return ()
    texts = row[field] if isinstance(row[field], list) else [row[field]]
    return tuple(text_of({field: text}, field, place) for text in texts)
