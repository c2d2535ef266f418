"""Cloze questions: held-out sentences with one word masked, and every right answer."""

from dataclasses import dataclass
from random import Random

from anaume.corpus.hakoniwa.patterns import Pattern
from anaume.corpus.hakoniwa.topics import TableRow, Topic, topics

MASK = "[MASK]"
QUESTIONS_PER_FACT = 0.4  # gives about 450 questions, each topic in proportion to its facts
MOST_ANSWERS = 3  # a question with more right answers tests little


@dataclass(frozen=True, slots=True)
class ClozeQuestion:
    """`text` with one `[MASK]`, all right `answers`, and the label of its `topic`."""

    text: str
    answers: tuple[str, ...]
    topic: str


def cloze(seed: int) -> list[ClozeQuestion]:
    """Questions on all topics, without duplicate texts."""
    random = Random(f"hakoniwa cloze {seed}")
    questions: list[ClozeQuestion] = []
    for topic in topics():
        by_text = {question.text: question for question in _questions(topic)}
        count = max(4, round(QUESTIONS_PER_FACT * len(topic.facts) * len(topic.rows)))
        questions += random.sample(list(by_text.values()), min(count, len(by_text)))
    return questions


def _questions(topic: Topic) -> list[ClozeQuestion]:
    """One question for each row and each held-out pattern that marks a column."""
    questions = [
        ClozeQuestion(pattern.fill({**row, pattern.masked: MASK}), _answers(topic, pattern, row), topic.label)
        for pattern in topic.held_out
        if pattern.masked
        for row in topic.rows
    ]
    return [question for question in questions if len(question.answers) <= MOST_ANSWERS]


def _answers(topic: Topic, pattern: Pattern, row: TableRow) -> tuple[str, ...]:
    """Values of the masked column in all rows that agree with `row` in the pattern's other columns."""
    shown = pattern.slots - {pattern.masked}
    matching = [other for other in topic.rows if all(other[column] == row[column] for column in shown)]
    return tuple(dict.fromkeys(other[pattern.masked] for other in matching))
