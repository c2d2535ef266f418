"""Two recipes beside each other: their text, their hash, and the keys in which they differ.

A resumed run may change the keys marked `FREE` where they are declared, and everything in stages that have not begun.
"""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import tomli_w

from anaume.recipe.size import FREE
from anaume.recipe.tables import TABLES, Recipe

# The keys marked `FREE`, such as "compile" and "stage.log_every".
FREE_KEYS = frozenset(
    f"{name}.{key}".lstrip(".")
    for name, table in TABLES.items()
    for key, field in table.model_fields.items()
    if field.json_schema_extra == FREE
)


def to_toml(recipe: Recipe) -> str:
    """The resolved recipe, every default written out, as TOML that `load` reads back to an equal recipe."""
    # tomli_w leaves U+007F as it is, which TOML forbids in a string; all keys are known, so it is in a string.
    return tomli_w.dumps(recipe.model_dump()).replace("\x7f", r"\u007f")


def fingerprint(recipe: Recipe) -> str:
    """A hash (SHA-256, hexadecimal) of the keys and values, equal exactly for equal recipes."""
    return hashlib.sha256(json.dumps(recipe.model_dump(), sort_keys=True).encode()).hexdigest()


def file_fingerprint(path: Path) -> str:
    """The `fingerprint` of the recipe that `to_toml` wrote into a file, whatever keys this version adds to recipes."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def first_difference(before: Recipe, after: Recipe, stages_begun: int) -> str:
    """The first change from `before` to `after` that a run may not make, as an error's text; empty if there is none.

    `stages_begun` is the number of stages that the run has begun; later ones may change, come and go.
    """
    for key, (old, new) in differences(before, after).items():
        parts = key.split(".")
        path = ".".join(part for part in parts if not part.isdecimal())
        if path not in FREE_KEYS and not (parts[0] == "stage" and int(parts[1]) >= stages_begun):
            value = f"{key} is missing" if new is None else f"{key} = {new!r}"
            return f"{value}: a run keeps this key; expected {'no such key' if old is None else repr(old)}"
    return ""


def differences(before: Recipe, after: Recipe) -> dict[str, tuple[Any, Any]]:
    """All keys in which two recipes differ, with both values; None stands for a key that a recipe does not have."""
    old, new = dict(flat(before)), dict(flat(after))
    pairs = {key: (old.get(key), new.get(key)) for key in old | new}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def flat(recipe: Recipe) -> list[tuple[str, Any]]:
    """Every key, written as `--set` takes it, with its value; entries of a list are keys of their own."""
    return flat_values(recipe.model_dump())


def flat_values(tables: dict[str, Any]) -> list[tuple[str, Any]]:
    """Like `flat`, for the tables of a recipe as TOML gives them, of any version."""

    def walk(prefix: str, value: Any) -> list[tuple[str, Any]]:
        if isinstance(value, dict):
            return [pair for key, child in value.items() for pair in walk(f"{prefix}.{key}" if prefix else key, child)]
        if isinstance(value, list):
            return [pair for index, child in enumerate(value) for pair in walk(f"{prefix}.{index}", child)]
        return [(prefix, value)]

    return walk("", tables)
