"""Pairs of texts that belong together, for retrieval, geometry and contrastive training: JSON lines → pairs."""

from dataclasses import dataclass
from pathlib import Path

from anaume.corpus.rows import read_rows, text_of


@dataclass(frozen=True, slots=True)
class Pair:
    """A query and its right answer. `title` (of the answer's page) and `source` (of both texts) may be empty."""

    query: str
    positive: str
    title: str = ""
    source: str = ""


def read_pairs(path: Path) -> list[Pair]:
    """Read JSON lines with `query`, `positive` and, optionally, `title` and `source`.

    Raises:
        UserError: names the file, and the line where it is not JSON or a text is missing or empty.
    """
    return [
        Pair(
            text_of(row, "query", place),
            text_of(row, "positive", place),
            str(row.get("title", "")),
            str(row.get("source", "")),
        )
        for place, row in read_rows(path)
    ]
