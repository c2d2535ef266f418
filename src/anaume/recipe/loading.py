"""A TOML file and `--set key=value` changes → a checked `Recipe`; every mistake becomes an error of one line."""

import difflib
import json
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydantic

from anaume.corpus.source import ORIGIN_OPTIONS, ORIGINS
from anaume.errors import UserError
from anaume.recipe.tables import TABLES, Recipe, TokenizerTable


def load(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply `key=value` changes, such as `stage.0.steps=100` or `tokenizer.adapt=a.model`.

    Raises:
        UserError: the file is missing or not TOML; a key is unknown; a value has the wrong type or is impossible.
    """
    return parse(load_tables(path, changes), str(path))


def load_tables(path: Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Read a recipe's tables as they stand in the file, with `key=value` changes, without defaults and not checked.

    Raises:
        UserError: the file is missing or not TOML; a change names no key.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # Windows editors write a byte order mark
    except OSError as error:
        raise UserError(f"{path}: cannot read the recipe ({error.strerror}); expected a TOML file") from error
    except ValueError as error:  # not TOML, not UTF-8, or an integer of thousands of digits
        raise UserError(f"{path}: not TOML ({error}); expected a recipe in UTF-8") from error
    for change in changes:
        _apply_change(table, change)
    return table


def parse(table: dict[str, Any], place: str) -> Recipe:
    """Check a recipe given as nested dictionaries.

    Raises:
        UserError: a key or a value is wrong; the line begins with `place`.
    """
    try:
        return Recipe.model_validate(table)
    except pydantic.ValidationError as error:
        raise UserError(f"{place}: {_first_problem(error)}") from None


def _apply_change(table: dict[str, Any], change: str) -> None:
    """Set a key of `table`. A new origin of a source, or of the tokenizer, replaces the old one and its options."""
    path, equals, text = change.partition("=")
    if not equals or not path:
        raise UserError(f"--set {change}: not a change; expected key=value, such as stage.0.steps=100")
    *parents, last = path.split(".")
    node: Any = table
    for part in parents:
        node = _child(node, part, change)
    if isinstance(node, list):
        node[_index(node, last, change)] = _toml_value(text)
        return
    replaced: tuple[str, ...] = ()
    if parents[:1] == ["corpus"] and last in ORIGINS and len(parents) == 3:
        replaced = (*ORIGINS, *ORIGIN_OPTIONS)
    elif parents == ["tokenizer"] and last in TokenizerTable.model_fields:
        replaced = tuple(TokenizerTable.model_fields)
    for key in replaced:
        node.pop(key, None)
    node[last] = _toml_value(text)


def _child(node: Any, part: str, change: str) -> Any:
    child = node[_index(node, part, change)] if isinstance(node, list) else node.setdefault(part, {})
    if not isinstance(child, dict | list):
        raise UserError(f"--set {change}: {part!r} is a value; expected a table")
    return child


def _index(node: list[Any], part: str, change: str) -> int:
    """The index of an entry of a list of tables, which is named by its number or, for a stage, by its `name`."""
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in node]
    if part in names:
        return names.index(part)
    if part.isdecimal() and int(part) < len(node):
        return int(part)
    entries = [str(number) for number in range(len(node))] + [name for name in names if name]
    raise UserError(f"--set {change}: no entry {part!r}; expected {', '.join(entries)}")


def _toml_value(text: str) -> Any:
    """The TOML value that `text` holds, or `text` itself where it is none, so that paths need no quotes."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text


def _first_problem(error: pydantic.ValidationError) -> str:
    """The first problem that pydantic found, as "KEY = VALUE: WHY; expected …"."""
    problem = error.errors()[0]
    location, message = problem["loc"], problem["msg"]
    key = ".".join(str(part) for part in location)
    match problem["type"]:
        case "extra_forbidden":
            table = ".".join(part for part in location[:-1] if isinstance(part, str))
            keys = list(TABLES[table].model_fields)
            near = difflib.get_close_matches(str(location[-1]), keys, n=1)
            meant = f", did you mean {near[0]!r}?" if near else ""
            return f"{key}: unknown key{meant}; expected {', '.join(keys)}"
        case "missing":
            return f"{key}: missing; expected a value"
        case "value_error":
            message = message.removeprefix("Value error, ")
            return f"{key}: {message}" if key else message
        case "model_type":
            message = "Input should be a table"
    # Pydantic writes "Input should be a valid integer" or "List should have at least 1 item after validation, not 0".
    expected = re.sub(r"^.* should (be|have|match) ", "", message).partition(" after validation")[0]
    expected = re.sub(r"^(greater|less) ", r"a number \1 ", expected).replace("pattern ", "text of the pattern ")
    number = problem["input"]
    if isinstance(number, int) and abs(number) >= 10**30:  # the interpreter refuses to print thousands of digits
        return f"{key}: an integer of {number.bit_length()} bits: not a valid value; expected {expected}"
    value = json.dumps(problem["input"], ensure_ascii=False, default=str)
    return f"{key} = {value}: not a valid value; expected {expected}"
