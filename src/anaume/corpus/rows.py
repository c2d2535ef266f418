"""Small files of JSON lines, the data of evaluations and of fine-tuning: a path → (place, JSON object) for each line.

The place is "FILE:LINE"; every error about a row begins with it.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anaume.errors import UserError


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("FILE:LINE", object) for each line of `path`. Blank lines are skipped.

    Raises:
        UserError: The file does not exist or has no rows, or a line is not UTF-8 or not a JSON object.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected JSON lines")
    is_empty = True
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            is_empty = False
            place = f"{path}:{number}"
            try:
                row = json.loads(line.decode())
            except UnicodeDecodeError as error:
                raise UserError(f"{place}: not UTF-8 ({error.reason} at byte {error.start})") from error
            except json.JSONDecodeError as error:
                raise UserError(f"{place}: not JSON ({error.msg} at column {error.colno})") from error
            if not isinstance(row, dict):
                raise UserError(f"{place}: a JSON {type(row).__name__}; expected an object")
            yield place, row
    if is_empty:
        raise UserError(f"{path}: no rows; expected one JSON object a line")


def text_of(row: dict[str, Any], key: str, place: str) -> str:
    """Return the text that `row` holds under `key`.

    Raises:
        UserError: The key is missing, or its value is not a string or is blank. The message begins with `place`.
    """
    if key not in row:
        raise UserError(f"{place}: lacks {key!r} (has {', '.join(row) or 'nothing'}); expected a text under that key")
    text = row[key]
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{place}: {key!r} is {text!r}; expected a text that is not empty")
    return text
