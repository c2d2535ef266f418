"""The small JSON files of runs, records and exports: a path → an object whose form has been checked.

Every file that anaume wrote earlier is read here, so that a damaged one is always named in one line.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anaume.errors import UserError

# Key → the form of its value, see `is_of`. A key may be absent unless `read_object` is told that all are required.
Form = Mapping[str, Any]


def read_object(path: Path, kind: str, form: Form | None = None, *, required: bool = True) -> dict[str, Any]:
    """Read a JSON object and check the types of the keys in `form`.

    `kind` says in an error what the file should be, such as "a manifest".

    Raises:
        UserError: the file can't be read, is not a JSON object, or lacks a required key or has a value of another type.
    """
    try:
        return parse_object(path.read_bytes(), str(path), kind, form, required=required)
    except OSError as error:
        raise UserError(f"{path}: cannot read it ({error.strerror}); expected {kind}") from error


def parse_object(
    content: bytes, place: str, kind: str, form: Form | None = None, *, required: bool = True
) -> dict[str, Any]:
    """Check an object as `read_object` does, given the content of the file; errors begin with `place`.

    Raises:
        UserError: see `read_object`.
    """
    try:
        value = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError, too
        raise UserError(f"{place}: not {kind} ({' '.join(str(error).split())}); expected a JSON object") from error
    if not isinstance(value, dict):
        raise UserError(f"{place}: {value!r:.40}: not {kind}; expected a JSON object")
    for key, expected in (form or {}).items():
        name = _words(expected)
        if key not in value:
            if required:
                raise UserError(f"{place}: lacks {key!r}: not {kind}; expected {name}")
        elif not is_of(value[key], expected):
            raise UserError(f"{place}: {key} = {value[key]!r:.40}: not {kind}; expected {name}")
    return value


def is_of(value: object, expected: Any) -> bool:
    """Whether a JSON value has a form: a type, a list of one form, or an object whose keys, if present, have forms.

    A Boolean is no number.
    """
    if isinstance(expected, list):
        return isinstance(value, list) and all(is_of(entry, expected[0]) for entry in value)
    if isinstance(expected, Mapping):
        return isinstance(value, dict) and all(
            is_of(value[key], expected[key]) for key in expected.keys() & value.keys()
        )
    return isinstance(value, expected) and not (isinstance(value, bool) and expected is not bool)


def _words(expected: Any) -> str:
    """A form in words: "int", "int or None", "list of object (low: int)"."""
    if isinstance(expected, list):
        return f"list of {_words(expected[0])}"
    if isinstance(expected, Mapping):
        return f"object ({', '.join(f'{key}: {_words(form)}' for key, form in expected.items())})"
    return expected.__name__ if isinstance(expected, type) else str(expected).replace(" | ", " or ")
