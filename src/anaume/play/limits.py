"""What a visitor typed → texts within the limits of the page, or one friendly line."""

import re

from anaume.corpus.rows import require_unicode
from anaume.errors import UserError

CHARACTERS = 20_000  # of one field
COMPARED, PASSAGES = 24, 500  # lines of the heat map, passages of the search
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n")


def one_text(text: str, name: str = "text") -> str:
    """Check a single text.

    Raises:
        UserError: it is empty, too long, or not Unicode.
    """
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{name}: empty; expected some text")
    if len(text) > CHARACTERS:
        raise UserError(f"{name}: {len(text):,} characters; expected at most {CHARACTERS:,}")
    return require_unicode(text, name)


def lines_of(text: str, *, least: int = 2, most: int = COMPARED) -> list[str]:
    """Return the lines that are not blank.

    Raises:
        UserError: there are too few or too many; see `one_text`.
    """
    return _counted([line.strip() for line in one_text(text).splitlines()], least, most, "lines")


def passages_of(text: str) -> list[str]:
    """Return the parts between blank lines, or the lines of a text without blank lines.

    Raises:
        UserError: there are too many; see `one_text`.
    """
    text = one_text(text, "passages").strip()
    parts = _BLANK_LINES.split(text) if _BLANK_LINES.search(text) else text.splitlines()
    return _counted([part.strip() for part in parts], 1, PASSAGES, "passages")


def _counted(parts: list[str], least: int, most: int, unit: str) -> list[str]:
    parts = [part for part in parts if part]
    if not least <= len(parts) <= most:
        raise UserError(f"text: {len(parts):,} {unit}; expected {least} to {most:,}")
    return parts
