"""Topics → a deck of cards: all sentences of the corpus, written out once, with one card per row of a table.

A gigabyte of text is about ten million draws from 50,000 different sentences. Because the deck fills the patterns
beforehand, a document only draws strings and joins them.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Literal, TypeVar

from anaume.corpus.hakoniwa.patterns import Pattern, Register
from anaume.corpus.hakoniwa.topics import TableRow, Topic, topics

Split = Literal["train", "validation"]
T = TypeVar("T")

_MEMBERS = re.compile(r"\{([^}*]*)\*([^}]*)\}")


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence; bit k of `facts` is set if the sentence mentions fact column k of its topic."""

    text: str
    facts: int


@dataclass(frozen=True, slots=True)
class Card:
    """All sentences about one row of a topic.

    `named`      sentences that name the row and can stand anywhere
    `every`      the named sentences and those that leave the subject out
    `opening`    named sentences that may open a document; in validation only held-out ones, so that no validation
                 document equals a training document
    `relatives`  rows of the same topic that suit the same article
    """

    topic: int
    title: str
    named: tuple[Sentence, ...]
    every: tuple[Sentence, ...]
    opening: tuple[Sentence, ...]
    questions: tuple[tuple[str, str], ...]
    sheet: tuple[tuple[str, str], ...]
    relatives: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Lead:
    """A theme's first sentence: `before`, the members' names joined by `joint`, `after`. Empty `joint`: no names."""

    before: str
    joint: str
    after: str


@dataclass(frozen=True, slots=True)
class Group:
    """The rows of one topic that share a value."""

    title: str
    members: tuple[Card, ...]
    leads: tuple[Lead, ...]


@dataclass(frozen=True, slots=True)
class Deck:
    """The cards of one split in one register.

    `rows` holds a card once for every two facts of its row, and `groups` a group once for every member, so that all
    facts occur about equally often.
    """

    topics: tuple[tuple[Card, ...], ...]
    rows: tuple[Card, ...]
    groups: tuple[Group, ...]


def pick(random: Random, items: Sequence[T]) -> T:
    """Draw one of `items`; several times as fast as `random.choice`."""
    return items[int(random.random() * len(items))]


@cache
def deck(split: Split, register: Register) -> Deck:
    """The deck of a split in a register, made once per process."""
    cards = tuple(
        tuple(_card(number, topic, row, split, register) for row in topic.rows) for number, topic in enumerate(topics())
    )
    paired = list(zip(topics(), cards, strict=True))
    groups = [group for topic, row in paired for group in _groups(topic, row, register)]
    return Deck(
        topics=cards,
        rows=tuple(card for topic, row in paired for card in row for _ in range((len(topic.facts) + 2) // 2)),
        groups=tuple(group for group in groups for _ in group.members),
    )


def _card(number: int, topic: Topic, row: TableRow, split: Split, register: Register) -> Card:
    train = [pattern for pattern in topic.train if pattern.register == register]
    held_out = [pattern for pattern in topic.held_out if pattern.register == register]
    usable = train if split == "train" else train + held_out
    named = _sentences(topic, row, [pattern for pattern in usable if pattern.slots.issuperset(topic.key)])
    return Card(
        topic=number,
        title=topic.title(row),
        named=named,
        every=_sentences(topic, row, usable),
        opening=named if split == "train" else _sentences(topic, row, held_out),
        questions=tuple((question.fill(row), answer.format_map(row)) for question, answer in topic.questions),
        sheet=tuple((topic.labels[fact].format_map(row), row[fact]) for fact in topic.facts),
        relatives=_relatives(topic, row),
    )


def _sentences(topic: Topic, row: TableRow, patterns: Sequence[Pattern]) -> tuple[Sentence, ...]:
    return tuple(
        Sentence(pattern.fill(row), sum(1 << bit for bit, fact in enumerate(topic.facts) if fact in pattern.slots))
        for pattern in patterns
    )


def _relatives(topic: Topic, row: TableRow) -> tuple[int, ...]:
    """Rows that suit an article on `row`: those with its value in the first grouping column, and those of small groups.

    Rows of small groups, for example 北海道, suit all others; otherwise hardly any article would mention them.
    """
    column = topic.groups[0] if topic.groups else topic.key[0]
    sizes = Counter(other[column] for other in topic.rows)
    small = {value for value, size in sizes.items() if size < 4}
    return tuple(
        index
        for index, other in enumerate(topic.rows)
        if other is not row and (other[column] == row[column] or not small.isdisjoint((other[column], row[column])))
    )


def _groups(topic: Topic, cards: Sequence[Card], register: Register) -> list[Group]:
    """Groups of at least three rows that share a value, for every grouping column."""
    groups = []
    for column in topic.groups:
        patterns = [p for p in topic.theme if p.register == register and column in p.slots]
        for value in dict.fromkeys(row[column] for row in topic.rows):
            members = tuple(card for card, row in zip(cards, topic.rows, strict=True) if row[column] == value)
            if len(members) >= 3:
                leads = tuple(_lead(pattern.template, {column: value}) for pattern in patterns)
                groups.append(Group(value, members, leads))
    return groups


def _lead(template: str, row: TableRow) -> Lead:
    match = _MEMBERS.search(template)
    if match is None:
        return Lead(template.format_map(row), "", "")
    before, after = template[: match.start()], template[match.end() :]
    return Lead(before.format_map(row), match[2] or "、", after.format_map(row))
