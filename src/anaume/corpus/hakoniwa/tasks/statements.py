"""Statements: held-out sentences about a row, one for each column. Sentence pairs are made of them.

Comes in: topics. Goes out: statements, and the rows of the training and of the validation split, which share none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from anaume.corpus.hakoniwa.deck import pick
from anaume.corpus.hakoniwa.patterns import REGISTERS, Pattern, Register
from anaume.corpus.hakoniwa.topics import TableRow, Topic, topics

FOLDS = 5  # every fifth row of a table belongs to the validation split


@dataclass(frozen=True, slots=True)
class Statement:
    """`text` gives the values in `columns` of row `index` of topic number `topic`."""

    text: str
    topic: int
    index: int
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class RowPool:
    """The rows of one split, as (topic, index)."""

    rows: tuple[tuple[int, int], ...]

    def draw(self, random: Random) -> tuple[int, int]:
        """Draw a row of any topic."""
        return pick(random, self.rows)

    def neighbour(self, random: Random, topic: int, index: int) -> int:
        """Draw another row of the topic than row `index`."""
        return pick(random, [other for number, other in self.rows if number == topic and other != index])


def in_validation(index: int) -> bool:
    """Whether row `index` of a table belongs to the validation split."""
    return index % FOLDS == FOLDS - 1


def row_pool(*, validation: bool) -> RowPool:
    """The rows of one split; topics with too few columns or rows for pairs are left out."""
    return RowPool(
        tuple(
            (number, index)
            for number, topic in enumerate(topics())
            if len(fact_columns(topic)) >= 2 and len(topic.rows) >= 2 * FOLDS
            for index in range(len(topic.rows))
            if in_validation(index) == validation
        )
    )


def fact_columns(topic: Topic) -> tuple[str, ...]:
    """The fact columns with a held-out pattern that states this column and no other."""
    return tuple(fact for fact in topic.facts if _patterns()[topic.name, fact, "plain"])


@cache
def _patterns() -> dict[tuple[str, str, Register], tuple[Pattern, ...]]:
    """Held-out patterns that state one fact column and no other, by topic, column and register."""
    return {
        (topic.name, fact, register): tuple(
            pattern
            for pattern in topic.held_out
            if pattern.register == register and pattern.slots.intersection(topic.facts) == {fact}
        )
        for topic in topics()
        for fact in topic.facts
        for register in REGISTERS
    }


def make_statement(
    random: Random, topic: int, index: int, columns: Sequence[str], row: TableRow | None = None
) -> Statement:
    """A statement about `columns` of row `index`; `row` replaces the table's row, for a false statement."""
    table = topics()[topic]
    register = pick(random, REGISTERS)
    sentences = [
        pick(random, _patterns()[table.name, column, register]).fill(row or table.rows[index]) for column in columns
    ]
    return Statement("".join(sentences), topic, index, frozenset(columns))
