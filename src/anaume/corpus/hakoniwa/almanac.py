"""Almanacs: long documents whose words can be predicted from a long context only.

The opening assigns random values to keys (青森県の案内人は佐藤とする). Articles with real facts follow, and the second
half repeats all assignments round after round (青森県の案内人は佐藤である). Every round has the same order, so that two
mentions of a key are a whole round apart, and a short window that shows a key never shows its value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import NamedTuple

from anaume.corpus.hakoniwa.article import in_register, portrait, read_phrases, theme
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
    """The content of `patterns/almanac.toml` in one register."""

    volumes: tuple[str, ...]
    opening: tuple[str, ...]
    body: tuple[str, ...]
    second_half: tuple[str, ...]
    interlude: tuple[str, ...]
    closing: tuple[str, ...]
    families: tuple[Family, ...]


class Assignment(NamedTuple):
    """An almanac's assignment of `value` to the row of `card`."""

    family: Family
    card: Card
    value: str

    def fill(self, template: str) -> str:
        """The sentence that `template` makes of the assignment."""
        return template.replace("{鍵}", self.card.title).replace("{値}", self.value)


class Almanac(NamedTuple):
    """Title, text and assignments of an almanac."""

    title: str
    text: str
    assignments: tuple[Assignment, ...]


@cache
def frame(register: Register) -> Frame:
    """The phrases of an almanac in one register."""
    patterns = read_patterns("almanac")
    sections = {name: in_register(patterns[name], register) for name in ("opening", "body", "second_half")}
    return Frame(
        volumes=tuple(patterns["volumes"]),
        interlude=in_register(patterns["interlude"], register),
        closing=in_register(patterns["closing"], register),
        families=tuple(
            Family(
                NAMES.index(family["keys"]),
                tuple(family["values"]),
                *(in_register(family[name], register) for name in ("introduce", "recall", "held_out")),
            )
            for family in patterns["family"]
        ),
        **sections,
    )


def almanac(deck: Deck, random: Random, split: Split, register: Register) -> Almanac:
    """An almanac of about `SHORTEST` to `LONGEST` characters."""
    phrases = frame(register)
    length = SHORTEST + int(random.random() * (LONGEST - SHORTEST))
    volume = pick(random, phrases.volumes)
    assignments = draw_assignments(deck, random, phrases)
    draw_article = _article_source(deck, random, register)

    parts = [pick(random, phrases.opening).replace("{巻}", volume)]
    parts.append("".join([entry.fill(pick(random, entry.family.introduce)) for entry in assignments]))
    parts.append(pick(random, phrases.body))
    _extend(parts, draw_article, int(0.35 * length))
    parts.append(pick(random, phrases.second_half))
    in_order = random.sample(assignments, len(assignments))
    while sum(map(len, parts)) < length - INTERLUDE:
        parts += [_mention(entry, random, split) for entry in in_order]
    parts.append(pick(random, phrases.interlude))
    _extend(parts, draw_article, sum(map(len, parts)) + INTERLUDE)
    parts.append(pick(random, phrases.closing))
    parts.append("".join([entry.fill(_recall(entry, random, split)) for entry in in_order]))
    return Almanac(f"箱庭年鑑 {volume}", "\n".join(parts), tuple(assignments))


def draw_assignments(deck: Deck, random: Random, phrases: Frame) -> list[Assignment]:
    """`KEYS` assignments of each of `FAMILIES` kinds, without duplicate keys or values."""
    return [
        Assignment(family, card, value)
        for family in random.sample(phrases.families, FAMILIES)
        for card, value in zip(
            random.sample(deck.topics[family.keys], KEYS), random.sample(family.values, KEYS), strict=True
        )
    ]


def _article_source(deck: Deck, random: Random, register: Register) -> Callable[[], str]:
    """A function that draws the text of another portrait or theme at each call."""
    phrases = read_phrases(register)
    return lambda: pick(random, (portrait, theme))(deck, random, phrases).text


def _extend(parts: list[str], draw_article: Callable[[], str], length: int) -> None:
    """Append articles until the parts have `length` characters."""
    total = sum(map(len, parts))
    while total < length:
        parts.append(draw_article())
        total += len(parts[-1])


def _mention(entry: Assignment, random: Random, split: Split) -> str:
    """One mention of a key in the second half: one or two facts about it, and the value assigned to it."""
    lines = [pick(random, entry.card.named).text for _ in range(1 + int(random.random() * 2))]
    lines.insert(int(random.random() * (len(lines) + 1)), entry.fill(_recall(entry, random, split)))
    return "".join(lines)


def _recall(entry: Assignment, random: Random, split: Split) -> str:
    """A template that repeats the assignment; in validation one in five is held out."""
    if split == "validation" and random.random() < 0.2:
        return pick(random, entry.family.held_out)
    return pick(random, entry.family.recall)
