"""JSON files that end with a checksum of their own content, so that a changed byte is detected."""

import hashlib
import json
from pathlib import Path
from typing import Any

from anaume.files.atomic import write_atomic

_KEY = "checksum"


def write(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as indented JSON with a checksum as its last entry, atomically."""
    text = json.dumps({**value, _KEY: ""}, ensure_ascii=False, indent=2) + "\n"
    # A byte of a file's name that is not UTF-8 is half a surrogate pair in Python, and an escape in JSON.
    blank = text.encode(errors="backslashreplace").decode()
    head, _, tail = blank.rpartition('""')
    write_atomic(path, f'{head}"{_checksum(blank)}"{tail}')


def read(path: Path) -> dict[str, Any]:
    """Read the value that `write` wrote. The checksum isn't verified, so that any store opens at once.

    Raises:
        ValueError: the file is not JSON, or not a JSON object.
    """
    value = json.loads(path.read_text("utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__}; expected an object")
    value.pop(_KEY, None)
    return value


def is_sealed(path: Path) -> bool:
    """Whether the file holds a checksum, which `write` writes and earlier versions did not."""
    return f'"{_KEY}": "' in path.read_text("utf-8")


def is_unchanged(path: Path) -> bool:
    """Whether the file still matches its checksum."""
    try:
        content = path.read_text("utf-8")
        checksum = json.loads(content)[_KEY]
        return bool(_checksum(content.replace(checksum, "")) == checksum)
    except (ValueError, KeyError, TypeError):
        return False


def _checksum(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
