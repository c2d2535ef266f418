"""Topics: a table of facts (`facts/*.tsv`) with the patterns that tell them (`patterns/*.toml`)."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from anaume.corpus.hakoniwa.patterns import Pattern, expand_all

Row = Mapping[str, str]

# In the order in which documents draw from them; adding a table here changes every document.
NAMES = (
    "prefectures", "countries", "elements", "animals", "works", "railways", "months",
    "planets", "units", "counters", "occupations", "sports", "instruments", "products",
)  # fmt: skip


@dataclass(frozen=True)
class Topic:
    """One table and all that can be said about it; the fields are those of `patterns/README.md`.

    `facts` are the columns that hold facts: neither key nor helper.
    """

    name: str
    label: str
    key: tuple[str, ...]
    facts: tuple[str, ...]
    groups: tuple[str, ...]
    exclusive: tuple[str, ...]
    labels: Mapping[str, str]
    rows: tuple[Row, ...]
    train: tuple[Pattern, ...]
    held_out: tuple[Pattern, ...]
    questions: tuple[tuple[Pattern, str], ...]
    theme: tuple[Pattern, ...]
    query: tuple[str, ...]
    positive: tuple[str, ...]

    def title(self, row: Row) -> str:
        """What an article about `row` is called."""
        return "と".join(row[column] for column in self.key)


def read_data(folder: str, name: str) -> str:
    """Text of one of the package's data files."""
    return (files("anaume.corpus.hakoniwa") / folder / name).read_text(encoding="utf-8")


def read_patterns(name: str) -> dict[str, Any]:
    """`patterns/<name>.toml` as it stands."""
    return tomllib.loads(read_data("patterns", f"{name}.toml"))


@cache
def topics() -> tuple[Topic, ...]:
    """All topics, read once."""
    return tuple(_read(name) for name in NAMES)


def topic(name: str) -> Topic:
    """The topic called `name`, one of `NAMES`."""
    return topics()[NAMES.index(name)]


def _read(name: str) -> Topic:
    header, *lines = (line.split("\t") for line in read_data("facts", f"{name}.tsv").splitlines())
    told = read_patterns(name)
    return Topic(
        name=name,
        label=told["topic"],
        key=tuple(told["key"]),
        facts=tuple(column for column in header if column not in (*told["key"], *told["helpers"])),
        groups=tuple(told["groups"]),
        exclusive=tuple(told["exclusive"]),
        labels=told["labels"],
        rows=tuple(dict(zip(header, line, strict=True)) for line in lines),
        train=expand_all([*told["train"], *_labelled(told)]),
        held_out=expand_all(told["held_out"]),
        questions=tuple((pattern, answer) for asked, answer in told["questions"] for pattern in expand_all([asked])),
        theme=expand_all(told["theme"]),
        query=tuple(told["query"]),
        positive=tuple(told["positive"]),
    )


def _labelled(told: dict[str, Any]) -> list[str]:
    """The patterns that suit every column of every table, for the columns of this one."""
    title = "と".join(f"{{{column}}}" for column in told["key"])
    return [
        source.replace("{題}", title).replace("{項}", label).replace("{値}", f"{{{column}}}")
        for source in read_patterns("article")["labelled"]
        for column, label in told["labels"].items()
    ]
