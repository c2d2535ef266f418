"""What the sentence-pair tasks are made of: rows told in held-out patterns, one sentence for each column asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from anaume.corpus.hakoniwa.deck import pick
from anaume.corpus.hakoniwa.patterns import REGISTERS, Pattern, Register
from anaume.corpus.hakoniwa.topics import Row, Topic, topics

FOLDS = 5  # every fifth row of a table belongs to the validation part


@dataclass(frozen=True, slots=True)
class Statement:
    """`text` tells of row `index` of `topic` what stands in `columns`."""

    text: str
    topic: int
    index: int
    columns: frozenset[str]


@dataclass(frozen=True, slots=True)
class Part:
    """The rows, as (topic, index), that a training or a validation part may speak of: they share none."""

    rows: tuple[tuple[int, int], ...]

    def draw(self, random: Random) -> tuple[int, int]:
        """A row of any topic."""
        return pick(random, self.rows)

    def neighbour(self, random: Random, topic: int, index: int) -> int:
        """Another row of the topic."""
        return pick(random, [other for at, other in self.rows if at == topic and other != index])


def part(*, validation: bool) -> Part:
    """One of the two parts; topics with too few columns or rows for pairs are left out."""
    return Part(
        tuple(
            (number, index)
            for number, topic in enumerate(topics())
            if len(columns(topic)) >= 2 and len(topic.rows) >= 2 * FOLDS
            for index in range(len(topic.rows))
            if (index % FOLDS == FOLDS - 1) == validation
        )
    )


def columns(topic: Topic) -> tuple[str, ...]:
    """The fact columns that a held-out pattern tells alone."""
    return tuple(fact for fact in topic.facts if telling(topic, fact, "plain"))


@cache
def _telling() -> dict[tuple[str, str, Register], tuple[Pattern, ...]]:
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


def telling(topic: Topic, fact: str, register: Register) -> tuple[Pattern, ...]:
    """Held-out patterns that tell this column and no other."""
    return _telling()[topic.name, fact, register]


def state(random: Random, topic: int, index: int, told: Sequence[str], row: Row | None = None) -> Statement:
    """A statement on the columns `told`; `row` stands in for the true one where a false statement is wanted."""
    about = topics()[topic]
    register = pick(random, REGISTERS)
    sentences = [pick(random, telling(about, fact, register)).fill(row or about.rows[index]) for fact in told]
    return Statement("".join(sentences), topic, index, frozenset(told))
