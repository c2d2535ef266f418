"""JSON → objects, texts and the reasons why there are none: the one way in which anaume reads a text field.

Corpora count the rows that cannot be read (`parse_object` and `text_field` raise ValueError with the reason). Files of
evaluations and of fine-tuning have no such rows (`read_rows` and `text_of` raise UserError, whose message begins with
the place, "FILE:LINE").
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from anaume.corpus import storage
from anaume.corpus.document import Unreadable
from anaume.corpus.lines import MAX_BYTES, read_lines
from anaume.corpus.storage import reason
from anaume.errors import UserError

_KINDS = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: The text is not JSON, is nested too deeply or has a number of more digits than Python reads.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if error.lineno > 1 else ""
        raise ValueError(f"not JSON ({error.msg} at {line}column {error.colno})") from error
    except ValueError as error:
        raise ValueError(f"not JSON that Python reads ({str(error).partition(':')[0]})") from error
    except RecursionError as error:
        raise ValueError("not JSON that Python reads (nested too deeply)") from error


def parse_object(text: str) -> dict[str, Any]:
    """Return the object of a JSON text.

    Raises:
        ValueError: see `parse_json`; the text holds another value than an object.
    """
    row = parse_json(text)
    if not isinstance(row, dict):
        raise ValueError(f"{_kind(row)}, not an object")
    return row


def text_field(row: dict[str, Any], key: str) -> str:
    """Return the text that a row holds under `key`; bytes are decoded as UTF-8.

    Raises:
        ValueError: The key is missing, or its value is neither a string nor bytes, or is not Unicode text.
    """
    if key not in row:
        raise ValueError(f"no `{key}` (it has {', '.join(row) or 'nothing'})"[:200])
    content = row[key]
    if not isinstance(content, str | bytes):
        raise ValueError(f"`{key}` is {_kind(content)}, not a string")
    if len(content) > MAX_BYTES:
        raise ValueError(f"`{key}` has more than {MAX_BYTES:,} bytes")
    try:
        if isinstance(content, bytes):
            return content.decode()
        content.encode()
    except UnicodeDecodeError as error:
        raise ValueError(f"`{key}` is not UTF-8 ({error.reason} at byte {error.start})") from error
    except UnicodeEncodeError as error:  # JSON may hold half a surrogate pair ("\ud83d"), UTF-8 may not.
        raise ValueError(
            f"`{key}` is not Unicode text (half a surrogate pair, {content[error.start]!r}, at character {error.start})"
        ) from error
    return content


def optional_text(row: dict[str, Any], key: str) -> str:
    """Return the text under `key`, or "" where the key is missing or its value null.

    Raises:
        ValueError: see `text_field`.
    """
    return "" if row.get(key) is None else text_field(row, key)


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("FILE:LINE", object) for each line of a file of JSON lines, packed or not. Blank lines are skipped.

    Raises:
        UserError: The file does not exist, cannot be read or has no rows, or a line is not UTF-8 or not a JSON object.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected JSON lines")
    is_empty = True
    try:
        for line in read_lines(storage.local_file(path)):
            if isinstance(line, Unreadable):
                raise UserError(f"{line.place}: {line.reason}; expected a JSON object")
            is_empty = False
            try:
                row = parse_object(line.text)
            except ValueError as error:
                raise UserError(f"{line.place}: {error}; expected a JSON object") from error
            yield line.place, row
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or reason(error)}; expected JSON lines") from error
    if is_empty:
        raise UserError(f"{path}: no rows; expected one JSON object a line")


def text_of(row: Any, key: str, place: str) -> str:
    """Return the text that `row` holds under `key`.

    Raises:
        UserError: `row` is not an object, the key is missing, or its value is not a text or is blank.
    """
    if not isinstance(row, dict):
        raise UserError(f"{place}: {_kind(row)}, not an object; expected one with `{key}`")
    try:
        text = text_field(row, key)
    except ValueError as error:
        raise UserError(f"{place}: {error}; expected a text under that key") from error
    if not text.strip():
        raise UserError(f"{place}: `{key}` is {text!r:.80}; expected a text that is not empty")
    return text


def optional_text_of(row: dict[str, Any], key: str, place: str) -> str:
    """Return the text under `key`, or "" where the key is missing or its value null.

    Raises:
        UserError: The value is not a text.
    """
    try:
        return optional_text(row, key)
    except ValueError as error:
        raise UserError(f"{place}: {error}; expected a text or nothing") from error


def require_unicode(text: str, place: str) -> str:
    """Return `text` if UTF-8 can hold it. The words of a command line need not be Unicode text.

    Raises:
        UserError: It holds half a surrogate pair, or bytes that are not UTF-8.
    """
    try:
        text_field({"text": text}, "text")
    except ValueError as error:
        raise UserError(f"{place}: {text!r:.80}: not Unicode text; expected UTF-8") from error
    return text


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), f"a {type(value).__name__}")
