"""Retrieval pairs: two paragraphs on the same row that have few words in common.

The query and the positive name different columns in different registers, so that a lexical search finds little and a
model has to know the facts.
"""

from collections import Counter
from dataclasses import dataclass
from random import Random

from anaume.corpus.hakoniwa.topics import TableRow, Topic, topics


@dataclass(frozen=True, slots=True)
class ParagraphPair:
    """`query` and `positive` describe the row with this `title`."""

    query: str
    positive: str
    title: str


def pairs(seed: int) -> list[ParagraphPair]:
    """One pair for every row that some query identifies, in random order."""
    random = Random(f"hakoniwa pairs {seed}")
    shuffled = [pair for topic in topics() for row in topic.rows for pair in _pair(topic, row, random)]
    random.shuffle(shuffled)
    return shuffled


def _pair(topic: Topic, row: TableRow, random: Random) -> list[ParagraphPair]:
    """The pair of a row with the fewest common bigrams; empty if no query fits this row alone."""
    counts = [Counter(template.format_map(other) for other in topic.rows) for template in topic.query]
    queries = [
        template.format_map(row)
        for template, count in zip(topic.query, counts, strict=True)
        if count[template.format_map(row)] == 1
    ]
    positives = [template.format_map(row) for template in topic.positive]
    choices = [(query, positive) for query in queries for positive in positives]
    random.shuffle(choices)
    best = sorted(choices, key=lambda choice: len(bigrams(choice[0]) & bigrams(choice[1])))[:1]
    return [ParagraphPair(query, positive, topic.title(row)) for query, positive in best]


def bigrams(text: str) -> set[str]:
    """The set of all pairs of neighbouring characters."""
    return {text[start : start + 2] for start in range(len(text) - 1)}
