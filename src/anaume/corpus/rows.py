"""Small files of JSON lines that evaluations read: a path → rows, each with the place to name in an error."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anaume.errors import UserError


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("FILE:LINE", object) for each line of `path`; blank lines are skipped.

    Raises:
        UserError: no such file, a line that is not UTF-8 or not a JSON object, a file without rows.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file, expected JSON lines")
    found = False
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            found = True
            place = f"{path}:{number}"
            try:
                row = json.loads(line.decode())
            except UnicodeDecodeError as error:
                raise UserError(f"{place}: not UTF-8 ({error.reason} at byte {error.start})") from error
            except json.JSONDecodeError as error:
                raise UserError(f"{place}: not JSON ({error.msg} at column {error.colno})") from error
            if not isinstance(row, dict):
                raise UserError(f"{place}: expected a JSON object, got {type(row).__name__}")
            yield place, row
    if not found:
        raise UserError(f"{path}: empty, expected one JSON object a line")


def text_of(row: dict[str, Any], key: str, place: str) -> str:
    """Return the text under `key`.

    Raises:
        UserError: it is missing, not a string or blank.
    """
    if key not in row:
        raise UserError(f"{place}: lacks {key!r} (has {', '.join(row) or 'nothing'})")
    text = row[key]
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{place}: {key!r} must be a text that is not empty, got {text!r}")
    return text
