"""Pairs of texts that belong together, for retrieval, geometry and contrastive training: JSON lines → pairs."""

from dataclasses import dataclass
from pathlib import Path

from anaume.corpus.rows import optional_text_of, read_rows, text_of


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and its right answer. `title` (of the answer's page) and `source` (of both texts) may be empty."""

    query: str
    positive: str
    title: str = ""
    source: str = ""


def read_pairs(path: Path, query_field: str = "query", positive_field: str = "positive") -> list[Pair]:
    """Read JSON lines with a query, a positive and, optionally, `title` and `source`.

    Raises:
        UserError: names the file, and the line where it is not JSON or a text is missing or empty.
    """
    return [
        Pair(
            text_of(row, query_field, place),
            text_of(row, positive_field, place),
            optional_text_of(row, "title", place),
            optional_text_of(row, "source", place),
        )
        for place, row in read_rows(path)
    ]
