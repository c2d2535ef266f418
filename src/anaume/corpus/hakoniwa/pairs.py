"""Retrieval pairs: two paragraphs on the same row that share its facts and not their words.

The query names some columns, the positive others; who doesn't know that they belong together finds hardly a common
word. Query and positive keep to different registers for the same reason.
"""

from collections import Counter
from dataclasses import dataclass
from random import Random

from anaume.corpus.hakoniwa.topics import Row, Topic, topics


@dataclass(frozen=True, slots=True)
class Pair:
    """`query` and `positive` tell of the row called `title`."""

    query: str
    positive: str
    title: str


def pairs(seed: int) -> list[Pair]:
    """One pair for every row that a query can single out, in random order."""
    random = Random(f"hakoniwa pairs {seed}")
    found = [pair for topic in topics() for row in topic.rows for pair in _pair(topic, row, random)]
    random.shuffle(found)
    return found


def _pair(topic: Topic, row: Row, random: Random) -> list[Pair]:
    """The pair of a row with the fewest common words, none where no query fits this row alone."""
    usual = [_common(topic, template) for template in topic.query]
    queries = [
        template.format_map(row)
        for template, times in zip(topic.query, usual, strict=True)
        if times[template.format_map(row)] == 1
    ]
    positives = [template.format_map(row) for template in topic.positive]
    choices = [(query, positive) for query in queries for positive in positives]
    random.shuffle(choices)
    best = sorted(choices, key=lambda choice: len(bigrams(choice[0]) & bigrams(choice[1])))[:1]
    return [Pair(query, positive, topic.title(row)) for query, positive in best]


def _common(topic: Topic, template: str) -> Counter[str]:
    return Counter(template.format_map(row) for row in topic.rows)


def bigrams(text: str) -> set[str]:
    """All pairs of neighbouring characters."""
    return {text[at : at + 2] for at in range(len(text) - 1)}
