"""Document, the unit of a corpus, and Unreadable, what a row gives that holds no document."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a corpus. `title` and `source` are empty strings where the corpus has none."""

    text: str
    title: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that gives no document, and the reason.

    `place` is the file with the line number, or with the byte where the line begins if only a piece of it is read.
    """

    place: str
    reason: str
