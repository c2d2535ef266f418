"""JSON files that carry a checksum of themselves, so that a changed byte is found in them too."""

import hashlib
import json
from pathlib import Path
from typing import Any

from anaume.files import write_atomic

_KEY = "checksum"


def write(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as indented JSON with a checksum at its end, atomically."""
    blank = json.dumps({**value, _KEY: ""}, ensure_ascii=False, indent=2) + "\n"
    head, _, tail = blank.rpartition('""')
    write_atomic(path, f'{head}"{_checksum(blank)}"{tail}')


def read(path: Path) -> dict[str, Any]:
    """What `write` was given. The checksum isn't looked at: a store of any size is open at once.

    Raises:
        ValueError: not JSON, or not an object.
    """
    value = json.loads(path.read_text("utf-8"))
    if not isinstance(value, dict):
        raise ValueError(f"a JSON {type(value).__name__}, not an object")
    value.pop(_KEY, None)
    return value


def is_unchanged(path: Path) -> bool:
    """Whether every byte of the file is as it was written."""
    try:
        content = path.read_text("utf-8")
        checksum = json.loads(content)[_KEY]
        return bool(_checksum(content.replace(checksum, "")) == checksum)
    except (ValueError, KeyError, TypeError):
        return False


def _checksum(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
