"""Cloze questions: held-out patterns with one word left out, and every word that would be right there."""

from dataclasses import dataclass
from random import Random

from anaume.corpus.hakoniwa.patterns import Pattern
from anaume.corpus.hakoniwa.topics import Row, Topic, topics

MASK = "[MASK]"
QUESTIONS_PER_FACT = 0.4  # some 450 questions, each topic in proportion to its facts
MOST_ANSWERS = 3  # a question with more right answers asks for little


@dataclass(frozen=True, slots=True)
class Cloze:
    """`text` with one `[MASK]`, all right `answers`, and the `topic` it belongs to."""

    text: str
    answers: tuple[str, ...]
    topic: str


def cloze(seed: int) -> list[Cloze]:
    """Questions of all topics, no text twice."""
    random = Random(f"hakoniwa cloze {seed}")
    found: list[Cloze] = []
    for topic in topics():
        made = {question.text: question for question in _questions(topic)}
        wanted = max(4, round(QUESTIONS_PER_FACT * len(topic.facts) * len(topic.rows)))
        found += random.sample(list(made.values()), min(wanted, len(made)))
    return found


def _questions(topic: Topic) -> list[Cloze]:
    """Every row in every pattern that asks."""
    asking = [pattern for pattern in topic.held_out if pattern.asked]
    asked = [
        Cloze(pattern.fill({**row, pattern.asked: MASK}), _answers(topic, pattern, row), topic.label)
        for pattern in asking
        for row in topic.rows
    ]
    return [question for question in asked if len(question.answers) <= MOST_ANSWERS]


def _answers(topic: Topic, pattern: Pattern, row: Row) -> tuple[str, ...]:
    """What the asked column holds wherever the other columns of the pattern hold the same."""
    given = pattern.slots - {pattern.asked}
    fitting = [other for other in topic.rows if all(other[column] == row[column] for column in given)]
    return tuple(dict.fromkeys(other[pattern.asked] for other in fitting))
