"""The fields of a recipe → docs/recipe.md, one list of keys for each table.

`python -m anaume.recipe.page > docs/recipe.md` writes the page anew.
"""

import json
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from anaume.recipe.compare import FREE_KEYS
from anaume.recipe.defaults import SENTENCES
from anaume.recipe.tables import TABLES, table_of

INTRO = """\
# The recipe

One TOML file is one run of `anaume pretrain`. A key that the file leaves out has its default, which is the paper's
(arXiv 2504.15544) where the paper gives one, scaled to the `steps` of a stage; an unknown key is an error.
`--set key=value` changes a key for one call, for example `--set stage.stage1.steps=100` or
`--set corpus.train.0.path='data/*.jsonl.gz'`. The run directory keeps the resolved recipe, with every default written
out.

    name = "mine"
    [[corpus.train]]
    path = "data/train/*.jsonl.gz"
    [[corpus.validation]]
    path = "data/validation/*.jsonl.gz"
    [tokenizer]
    adapt = "llm-jp/llm-jp-3-1.8b"
    [[stage]]
    name = "stage1"
    length = 1024
    steps = 10_000

A resumed run may change the keys marked \\*, because training computes the same numbers with any value of them
(`compile`: but for rounding). It may also change everything in the stages that it has not begun.

This page is made from the source code: `python -m anaume.recipe.page > docs/recipe.md`.
"""
TYPES = {int: "integer", float: "number", bool: "boolean", str: "text"}
BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def render() -> str:
    """The page as Markdown."""
    sections: dict[type[BaseModel], list[str]] = {}
    for name, table in TABLES.items():
        sections.setdefault(table, []).append(name)
    return "\n".join([INTRO, *(_section(table, names) for table, names in sections.items())])


def _section(table: type[BaseModel], names: list[str]) -> str:
    """A heading, the purpose of the table, and a row for each key whose value is no table itself."""
    rows = [
        f"| {_key(names[0], key)} | {_type(field)} | {_default(key, field)} | {field.description} |"
        for key, field in table.model_fields.items()
        if not table_of(field)
    ]
    title = " and ".join(f"`{_header(name)}`" for name in names if name) or "Keys of the run, before the first table"
    head = ["| Key | Type | Default | Meaning |", "|---|---|---|---|"]
    return "\n".join([f"## {title}", "", str(table.__doc__), "", *head, *rows, ""])


def _header(name: str) -> str:
    """The line that opens a table in TOML."""
    parent, _, key = name.rpartition(".")
    is_list = get_origin(TABLES[parent].model_fields[key].annotation) is list
    return f"[[{name}]]" if is_list else f"[{name}]"


def _key(table: str, key: str) -> str:
    return f"`{key}`" + (r" \*" if f"{table}.{key}".lstrip(".") in FREE_KEYS else "")


def _type(field: FieldInfo) -> str:
    """The type of a value and its bounds, such as "integer ≥ 1"."""
    bounds = [
        f" {sign} {getattr(bound, name)}"
        for bound in field.metadata
        for name, sign in BOUNDS.items()
        if hasattr(bound, name)
    ]
    return _type_name(field.annotation) + ",".join(bounds)


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return ", ".join(f'"{value}"' for value in get_args(kind))
    if get_origin(kind) is list:
        (entry,) = get_args(kind)
        return f"list of {_type_name(entry)}" + ("s" if entry in TYPES else "")
    return TYPES[kind]


def _default(key: str, field: FieldInfo) -> str:
    if key in SENTENCES:
        return SENTENCES[key]
    return "required" if field.is_required() else f"`{json.dumps(field.default)}`"


if __name__ == "__main__":
    print(render(), end="")
