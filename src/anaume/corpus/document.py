"""Document, the unit of a corpus."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a corpus. `title` and `source` are empty strings where the corpus has none."""

    text: str
    title: str = ""
    source: str = ""
