"""The unit that a corpus is made of."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a corpus; `title` and `source` are empty where the corpus gives none."""

    text: str
    title: str = ""
    source: str = ""
