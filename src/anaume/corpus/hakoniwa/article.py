"""Short articles of 50 to some 800 characters: a deck and a random generator → title and text.

Five kinds: a portrait of one row, a comparison of two, a theme of several, mixed knowledge, questions and answers.
A fact is told once in a portrait, so that a masked word has to be known and can't be copied from a line above.
"""

from collections.abc import Callable
from functools import cache
from random import Random
from typing import NamedTuple

from anaume.corpus.hakoniwa.deck import Card, Deck, pick
from anaume.corpus.hakoniwa.patterns import Register, expand_all
from anaume.corpus.hakoniwa.topics import read_patterns


class Article(NamedTuple):
    """A finished article."""

    title: str
    text: str


class Phrases(NamedTuple):
    """What `patterns/article.toml` holds, in one register."""

    connectives: tuple[str, ...]
    contrast: tuple[str, ...]
    alike: tuple[str, ...]
    miscellany_titles: tuple[str, ...]
    miscellany: tuple[str, ...]
    dialogue_titles: tuple[str, ...]
    dialogue: tuple[str, ...]
    sheet: tuple[tuple[str, str, str], ...]


@cache
def phrases(register: Register) -> Phrases:
    """The phrases that suit every topic."""
    told = read_patterns("article")
    lists = {name: tuple(values) for name, values in told.items() if name in Phrases._fields}
    lists["miscellany"] = in_register(told["miscellany"], register)
    return Phrases(**lists)


def in_register(sources: list[str], register: Register) -> tuple[str, ...]:
    """The templates of `sources` in one register."""
    return tuple(pattern.template for pattern in expand_all(sources) if pattern.register == register)


def article(deck: Deck, random: Random, register: Register) -> Article:
    """Any of the five kinds, headed by its title in one of four."""
    made = pick(random, KINDS)(deck, random, phrases(register))
    if random.random() < 0.25:
        return Article(made.title, f"{made.title}\n{made.text}")
    return made


def portrait(deck: Deck, random: Random, told: Phrases) -> Article:
    """One row, and its relatives where the row has little to tell."""
    wanted = 5 + int(random.random() * 7)
    cards = company(deck, random, 6)
    lines: list[str] = []
    for card in cards:
        if len(lines) < wanted:
            lines += block(card, random, told, wanted - len(lines))
    return Article(cards[0].title, "".join(lines))


def company(deck: Deck, random: Random, most: int) -> list[Card]:
    """A row and up to `most` - 1 of its relatives, none twice."""
    first = pick(random, deck.rows)
    others = random.sample(first.relatives, min(most - 1, len(first.relatives)))
    return [first, *(deck.topics[first.topic][index] for index in others)]


def block(card: Card, random: Random, told: Phrases, wanted: int) -> list[str]:
    """Up to `wanted` sentences on one row, the first naming it, no fact twice."""
    first = pick(random, card.opening)
    lines, seen = [first.text], first.told
    for _ in range(4 * wanted):
        sentence = pick(random, card.every)
        if len(lines) == wanted:
            break
        if not sentence.told & seen:
            seen |= sentence.told
            joint = pick(random, told.connectives) if random.random() < 0.12 else ""
            lines.append(joint + sentence.text)
    return lines


def comparison(deck: Deck, random: Random, told: Phrases) -> Article:
    """Two rows of a topic side by side, the same patterns for both; a portrait where there is little to compare."""
    one = pick(random, deck.rows)
    if len(one.sheet) < 3:
        return portrait(deck, random, told)
    other = pick(random, deck.topics[one.topic])
    if other is one:
        other = deck.topics[one.topic][one.relatives[0]]
    lines, seen = [], 0
    for turn in range(8):
        ones, others = (one.named, other.named) if turn else (one.opening, other.opening)
        index = int(random.random() * len(ones))
        if not ones[index].told & seen:
            seen |= ones[index].told
            joint = told.alike if _agree(one, other, ones[index].told) else told.contrast
            lines += [ones[index].text, pick(random, joint) + others[index].text]
    return Article(f"{one.title}と{other.title}", "".join(lines))


def _agree(one: Card, other: Card, told: int) -> bool:
    """Whether two rows have the same values in the columns `told`."""
    return all(one.sheet[bit] == other.sheet[bit] for bit in range(len(one.sheet)) if told >> bit & 1)


def theme(deck: Deck, random: Random, told: Phrases) -> Article:
    """Three to six rows that share a value, after a sentence that introduces them."""
    group = pick(random, deck.groups)
    members = random.sample(group.members, min(4 + int(random.random() * 4), len(group.members)))
    lead = pick(random, group.leads)
    names = lead.joint.join([card.title for card in members[: 2 + int(random.random() * 3)]]) if lead.joint else ""
    lines = [lead.before + names + lead.after]
    for card in members:
        lines += block(card, random, told, 1 + int(random.random() * 3))
    return Article(group.title, "".join(lines))


def miscellany(deck: Deck, random: Random, told: Phrases) -> Article:
    """Facts that have nothing to do with each other: each has to be known by itself."""
    lines = [pick(random, told.miscellany)]
    for _ in range(4 + int(random.random() * 6)):
        lines.append(pick(random, pick(random, deck.rows).opening).text)
    return Article(pick(random, told.miscellany_titles), "".join(lines))


def dialogue(deck: Deck, random: Random, told: Phrases) -> Article:
    """Questions and answers in one manner, on one topic or on many, closed by a sentence."""
    manner = pick(random, told.dialogue)
    wanted = 4 + int(random.random() * 3)
    cards = company(deck, random, wanted)
    if random.random() < 0.5 or len(cards) < wanted:
        cards = [pick(random, deck.rows) for _ in range(wanted)]
    lines = []
    for card in cards[1:]:
        question, answer = pick(random, card.questions)
        lines.append(manner.replace("{問}", question).replace("{答}", answer))
    lines.append(pick(random, cards[0].opening).text)
    return Article(pick(random, told.dialogue_titles), "".join(lines))


def sheets(deck: Deck, random: Random, told: Phrases) -> Article:
    """Data sheets of two to six related rows, closed by a sentence.

    Between marks a value stands alone, which is what makes it a piece of a Unigram vocabulary: in running text its
    neighbours repeat, and pieces that run across a word's end would take all its occurrences.
    """
    cards = company(deck, random, 6)
    cards = cards[: max(2 + int(random.random() * 4), 6 // len(cards[0].sheet))]
    before, item, after = pick(random, told.sheet)
    lines = []
    for card in cards:
        lines.append(before.replace("{題}", card.title))
        for label, value in random.sample(card.sheet, len(card.sheet)):
            lines.append(item.replace("{項}", label).replace("{値}", value))
        lines.append(after)
    lines.append(pick(random, pick(random, cards).opening).text)
    return Article(cards[0].title, "".join(lines))


# A kind is drawn as often as it stands here.
KINDS: tuple[Callable[[Deck, Random, Phrases], Article], ...] = (
    *[portrait] * 5,
    *[miscellany] * 1,
    *[theme] * 2,
    *[sheets] * 3,
    comparison,
    dialogue,
)
