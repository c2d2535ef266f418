"""Topics: a table of facts (`facts/*.tsv`) with the patterns that state them (`patterns/*.toml`)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from anaume.corpus.hakoniwa.patterns import Pattern, expand_all

TableRow = Mapping[str, str]

# Documents draw from the tables in this order, so that a new table changes every document.
NAMES = (
    "prefectures", "countries", "elements", "animals", "works", "railways", "months",
    "planets", "units", "counters", "occupations", "sports", "instruments", "products",
)  # fmt: skip


@dataclass(frozen=True)
class Topic:
    """One table and its patterns; `patterns/README.md` explains the fields.

    `facts` are the columns that are neither key nor helper.
    """

    name: str
    label: str
    key: tuple[str, ...]
    facts: tuple[str, ...]
    groups: tuple[str, ...]
    exclusive: tuple[str, ...]
    labels: Mapping[str, str]
    rows: tuple[TableRow, ...]
    train: tuple[Pattern, ...]
    held_out: tuple[Pattern, ...]
    questions: tuple[tuple[Pattern, str], ...]
    theme: tuple[Pattern, ...]
    query: tuple[str, ...]
    positive: tuple[str, ...]

    def title(self, row: TableRow) -> str:
        """Title of an article about `row`."""
        return "と".join(row[column] for column in self.key)


def read_data(folder: str, name: str) -> str:
    """Text of the data file `folder/name` of this package."""
    return (files("anaume.corpus.hakoniwa") / folder / name).read_text(encoding="utf-8")


def read_patterns(name: str) -> dict[str, Any]:
    """Content of `patterns/<name>.toml`."""
    return tomllib.loads(read_data("patterns", f"{name}.toml"))


@cache
def topics() -> tuple[Topic, ...]:
    """All topics in the order of `NAMES`, read once."""
    return tuple(_read(name) for name in NAMES)


def topic(name: str) -> Topic:
    """The topic called `name`, one of `NAMES`."""
    return topics()[NAMES.index(name)]


def _read(name: str) -> Topic:
    header, *lines = (line.split("\t") for line in read_data("facts", f"{name}.tsv").splitlines())
    patterns = read_patterns(name)
    return Topic(
        name=name,
        label=patterns["topic"],
        key=tuple(patterns["key"]),
        facts=tuple(column for column in header if column not in (*patterns["key"], *patterns["helpers"])),
        groups=tuple(patterns["groups"]),
        exclusive=tuple(patterns["exclusive"]),
        labels=patterns["labels"],
        rows=tuple(dict(zip(header, line, strict=True)) for line in lines),
        train=expand_all([*patterns["train"], *_labelled(patterns)]),
        held_out=expand_all(patterns["held_out"]),
        questions=tuple(
            (pattern, answer) for question, answer in patterns["questions"] for pattern in expand_all([question])
        ),
        theme=expand_all(patterns["theme"]),
        query=tuple(patterns["query"]),
        positive=tuple(patterns["positive"]),
    )


def _labelled(patterns: dict[str, Any]) -> list[str]:
    """The patterns of article.toml that suit any column, filled with the columns of this table."""
    title = "と".join(f"{{{column}}}" for column in patterns["key"])
    return [
        source.replace("{題}", title).replace("{項}", label).replace("{値}", f"{{{column}}}")
        for source in read_patterns("article")["labelled"]
        for column, label in patterns["labels"].items()
    ]
