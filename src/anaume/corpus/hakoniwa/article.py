"""Short articles of about 50 to 800 characters: a deck and a random generator → title and text.

There are six kinds: a portrait of one row, a comparison of two, a theme of several, mixed knowledge, questions and
answers, and data sheets. A portrait states a fact once, so that a masked word can't be copied from another sentence.
"""

from collections.abc import Callable
from functools import cache
from random import Random
from typing import NamedTuple

from anaume.corpus.hakoniwa.deck import Card, Deck, pick
from anaume.corpus.hakoniwa.patterns import Register, expand_all
from anaume.corpus.hakoniwa.topics import read_patterns


class Article(NamedTuple):
    """Title and text of an article."""

    title: str
    text: str


class Phrases(NamedTuple):
    """The content of `patterns/article.toml` in one register."""

    connectives: tuple[str, ...]
    contrast: tuple[str, ...]
    alike: tuple[str, ...]
    miscellany_titles: tuple[str, ...]
    miscellany: tuple[str, ...]
    dialogue_titles: tuple[str, ...]
    dialogue: tuple[str, ...]
    sheet: tuple[tuple[str, str, str], ...]


@cache
def read_phrases(register: Register) -> Phrases:
    """The phrases that suit every topic, in one register."""
    patterns = read_patterns("article")
    lists = {name: tuple(values) for name, values in patterns.items() if name in Phrases._fields}
    lists["miscellany"] = in_register(patterns["miscellany"], register)
    return Phrases(**lists)


def in_register(sources: list[str], register: Register) -> tuple[str, ...]:
    """The templates of `sources` in one register."""
    return tuple(pattern.template for pattern in expand_all(sources) if pattern.register == register)


def article(deck: Deck, random: Random, register: Register) -> Article:
    """An article of a random kind; one in four has its title as the first line."""
    title, text = pick(random, KINDS)(deck, random, read_phrases(register))
    if random.random() < 0.25:
        return Article(title, f"{title}\n{text}")
    return Article(title, text)


def portrait(deck: Deck, random: Random, phrases: Phrases) -> Article:
    """5 to 11 sentences on one row, continued with its relatives if the row has fewer."""
    count = 5 + int(random.random() * 7)
    cards = company(deck, random, 6)
    lines: list[str] = []
    for card in cards:
        if len(lines) < count:
            lines += block(card, random, phrases, count - len(lines))
    return Article(cards[0].title, "".join(lines))


def company(deck: Deck, random: Random, most: int) -> list[Card]:
    """A random row and up to `most` - 1 different relatives of it."""
    first = pick(random, deck.rows)
    others = random.sample(first.relatives, min(most - 1, len(first.relatives)))
    return [first, *(deck.topics[first.topic][index] for index in others)]


def block(card: Card, random: Random, phrases: Phrases, count: int) -> list[str]:
    """Up to `count` sentences on one row; the first names the row, and each fact occurs once."""
    first = pick(random, card.opening)
    lines, seen = [first.text], first.facts
    for _ in range(4 * count):
        sentence = pick(random, card.every)
        if len(lines) == count:
            break
        if not sentence.facts & seen:
            seen |= sentence.facts
            joint = pick(random, phrases.connectives) if random.random() < 0.12 else ""
            lines.append(joint + sentence.text)
    return lines


def comparison(deck: Deck, random: Random, phrases: Phrases) -> Article:
    """Two rows of a topic side by side in the same patterns; a portrait if the topic has fewer than three facts."""
    left = pick(random, deck.rows)
    if len(left.sheet) < 3:
        return portrait(deck, random, phrases)
    right = pick(random, deck.topics[left.topic])
    if right is left:
        right = deck.topics[left.topic][left.relatives[0]]
    lines, seen = [], 0
    for turn in range(8):
        left_sentences, right_sentences = (left.named, right.named) if turn else (left.opening, right.opening)
        index = int(random.random() * len(left_sentences))
        sentence = left_sentences[index]
        if not sentence.facts & seen:
            seen |= sentence.facts
            joint = phrases.alike if _agree(left, right, sentence.facts) else phrases.contrast
            lines += [sentence.text, pick(random, joint) + right_sentences[index].text]
    return Article(f"{left.title}と{right.title}", "".join(lines))


def _agree(left: Card, right: Card, facts: int) -> bool:
    """Whether two rows have the same values in the columns whose bits are set in `facts`."""
    return all(left.sheet[bit] == right.sheet[bit] for bit in range(len(left.sheet)) if facts >> bit & 1)


def theme(deck: Deck, random: Random, phrases: Phrases) -> Article:
    """A sentence that introduces a group, then sentences on four to seven of its rows (or on all, if it has fewer)."""
    group = pick(random, deck.groups)
    members = random.sample(group.members, min(4 + int(random.random() * 4), len(group.members)))
    lead = pick(random, group.leads)
    names = lead.joint.join([card.title for card in members[: 2 + int(random.random() * 3)]]) if lead.joint else ""
    lines = [lead.before + names + lead.after]
    for card in members:
        lines += block(card, random, phrases, 1 + int(random.random() * 3))
    return Article(group.title, "".join(lines))


def miscellany(deck: Deck, random: Random, phrases: Phrases) -> Article:
    """5 to 10 sentences on unrelated rows, so that none helps to guess another."""
    lines = [pick(random, phrases.miscellany)]
    for _ in range(4 + int(random.random() * 6)):
        lines.append(pick(random, pick(random, deck.rows).opening).text)
    return Article(pick(random, phrases.miscellany_titles), "".join(lines))


def dialogue(deck: Deck, random: Random, phrases: Phrases) -> Article:
    """Three to five questions with answers in one style, on related or on any rows, and a closing sentence."""
    style = pick(random, phrases.dialogue)
    count = 4 + int(random.random() * 3)
    cards = company(deck, random, count)
    if random.random() < 0.5 or len(cards) < count:
        cards = [pick(random, deck.rows) for _ in range(count)]
    lines = []
    for card in cards[1:]:
        question, answer = pick(random, card.questions)
        lines.append(style.replace("{問}", question).replace("{答}", answer))
    lines.append(pick(random, cards[0].opening).text)
    return Article(pick(random, phrases.dialogue_titles), "".join(lines))


def sheets(deck: Deck, random: Random, phrases: Phrases) -> Article:
    """Data sheets of up to six related rows, and a closing sentence.

    The marks around a value make it a piece of a Unigram vocabulary. In running text a value has the same neighbours
    again and again, and pieces that join value and neighbour would leave no occurrence of the value alone.
    """
    cards = company(deck, random, 6)
    cards = cards[: max(2 + int(random.random() * 4), 6 // len(cards[0].sheet))]
    before, item, after = pick(random, phrases.sheet)
    lines = []
    for card in cards:
        lines.append(before.replace("{題}", card.title))
        for label, value in random.sample(card.sheet, len(card.sheet)):
            lines.append(item.replace("{項}", label).replace("{値}", value))
        lines.append(after)
    lines.append(pick(random, pick(random, cards).opening).text)
    return Article(cards[0].title, "".join(lines))


# The number of times that a kind occurs in this tuple is its weight.
KINDS: tuple[Callable[[Deck, Random, Phrases], Article], ...] = (
    *[portrait] * 5,
    *[miscellany] * 1,
    *[theme] * 2,
    *[sheets] * 3,
    comparison,
    dialogue,
)
