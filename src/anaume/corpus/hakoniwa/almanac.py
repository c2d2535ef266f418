"""Almanacs: long documents that only a long context explains.

The opening assigns values to keys (青森県の案内人は佐藤とする), anew in every almanac. Then come real-fact articles,
and the second half walks through the keys round after round and needs each value again (青森県の案内人は佐藤である).
Every round has the same order, so that two mentions of a key lie a whole round apart: a short window shows the key
and never its value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import NamedTuple

from anaume.corpus.hakoniwa.article import in_register, phrases, portrait, theme
from anaume.corpus.hakoniwa.deck import Card, Deck, Split, pick
from anaume.corpus.hakoniwa.patterns import Register
from anaume.corpus.hakoniwa.topics import NAMES, read_patterns

SHORTEST, LONGEST = 3_500, 11_000  # characters
FAMILIES = 3  # kinds of assignments in one almanac
KEYS = 8  # assignments of each kind
INTERLUDE = 900  # characters between the last round and the closing roll call


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of assignment, in one register: templates with `{鍵}` and `{値}`."""

    keys: int
    values: tuple[str, ...]
    introduce: tuple[str, ...]
    recall: tuple[str, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """What `patterns/almanac.toml` holds, in one register."""

    volumes: tuple[str, ...]
    opening: tuple[str, ...]
    body: tuple[str, ...]
    second_half: tuple[str, ...]
    interlude: tuple[str, ...]
    closing: tuple[str, ...]
    families: tuple[Family, ...]


class Assignment(NamedTuple):
    """`value` is what this almanac gives to the row of `card`."""

    family: Family
    card: Card
    value: str

    def say(self, template: str) -> str:
        """The assignment in the words of `template`."""
        return template.replace("{鍵}", self.card.title).replace("{値}", self.value)


class Almanac(NamedTuple):
    """A finished almanac with the assignments that it keeps to."""

    title: str
    text: str
    assignments: tuple[Assignment, ...]


@cache
def frame(register: Register) -> Frame:
    """The phrases of an almanac in one register."""
    told = read_patterns("almanac")
    sections = {name: in_register(told[name], register) for name in ("opening", "body", "second_half")}
    return Frame(
        volumes=tuple(told["volumes"]),
        interlude=in_register(told["interlude"], register),
        closing=in_register(told["closing"], register),
        families=tuple(
            Family(
                NAMES.index(family["keys"]),
                tuple(family["values"]),
                *(in_register(family[name], register) for name in ("introduce", "recall", "held_out")),
            )
            for family in told["family"]
        ),
        **sections,
    )


def almanac(deck: Deck, random: Random, split: Split, register: Register) -> Almanac:
    """An almanac of some `SHORTEST` to `LONGEST` characters."""
    frames = frame(register)
    length = SHORTEST + int(random.random() * (LONGEST - SHORTEST))
    volume = pick(random, frames.volumes)
    assignments = draw_assignments(deck, random, frames)
    reading = _reading(deck, random, register)

    parts = [pick(random, frames.opening).replace("{巻}", volume)]
    parts.append("".join([one.say(pick(random, one.family.introduce)) for one in assignments]))
    parts.append(pick(random, frames.body))
    _extend(parts, reading, int(0.35 * length))
    parts.append(pick(random, frames.second_half))
    walk = random.sample(assignments, len(assignments))
    while sum(map(len, parts)) < length - INTERLUDE:
        parts += [_stop(one, random, split) for one in walk]
    parts.append(pick(random, frames.interlude))
    _extend(parts, reading, sum(map(len, parts)) + INTERLUDE)
    parts.append(pick(random, frames.closing))
    parts.append("".join([one.say(_recall(one, random, split)) for one in walk]))
    return Almanac(f"箱庭年鑑 {volume}", "\n".join(parts), tuple(assignments))


def draw_assignments(deck: Deck, random: Random, frames: Frame) -> list[Assignment]:
    """`KEYS` assignments of each of `FAMILIES` kinds, no key and no value twice."""
    return [
        Assignment(family, card, value)
        for family in random.sample(frames.families, FAMILIES)
        for card, value in zip(
            random.sample(deck.topics[family.keys], KEYS), random.sample(family.values, KEYS), strict=True
        )
    ]


def _reading(deck: Deck, random: Random, register: Register) -> Callable[[], str]:
    told = phrases(register)
    return lambda: pick(random, (portrait, theme))(deck, random, told).text


def _extend(parts: list[str], reading: Callable[[], str], length: int) -> None:
    """Add articles until the parts have `length` characters."""
    total = sum(map(len, parts))
    while total < length:
        parts.append(reading())
        total += len(parts[-1])


def _stop(one: Assignment, random: Random, split: Split) -> str:
    """One place of the walk: a fact or two about the key, and what was assigned to it."""
    lines = [pick(random, one.card.named).text for _ in range(1 + int(random.random() * 2))]
    lines.insert(int(random.random() * (len(lines) + 1)), one.say(_recall(one, random, split)))
    return "".join(lines)


def _recall(one: Assignment, random: Random, split: Split) -> str:
    if split == "validation" and random.random() < 0.2:
        return pick(random, one.family.held_out)
    return pick(random, one.family.recall)
