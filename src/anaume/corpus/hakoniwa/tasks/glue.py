"""Miniature JSTS and JNLI: sentence pairs whose label follows from the facts that they state."""

from collections.abc import Callable
from random import Random

from anaume.corpus.hakoniwa.deck import pick
from anaume.corpus.hakoniwa.tasks.statements import RowPool, Statement, fact_columns, make_statement, row_pool
from anaume.corpus.hakoniwa.topics import topics

Label = str | float
LabelledPair = tuple[Statement, Statement, Label]

# Weights of the topic, the row and each fact in the similarity of two statements.
TOPIC, ROW, FACT = 1.0, 1.0, 3.0


def jsts(seed: int, count: int, *, validation: bool) -> list[dict[str, Label]]:
    """Rows of jsts-v1.3: similarity from 0.0 (nothing in common) to 5.0 (the same facts in other words)."""
    return _rows(f"hakoniwa jsts {seed} {validation}", count, row_pool(validation=validation), _jsts_pair)


def jnli(seed: int, count: int, *, validation: bool) -> list[dict[str, Label]]:
    """Rows of jnli-v1.3: sentence 2 follows from sentence 1, contradicts it, or does neither."""
    return _rows(f"hakoniwa jnli {seed} {validation}", count, row_pool(validation=validation), _jnli_pair)


def _rows(
    seed: str, count: int, pool: RowPool, make_pair: Callable[[Random, RowPool], LabelledPair]
) -> list[dict[str, Label]]:
    """`count` pairs with JGLUE's field names; no two pairs have the same sentences."""
    random = Random(seed)
    pairs: dict[tuple[str, str], LabelledPair] = {}
    while len(pairs) < count:
        first, second, label = make_pair(random, pool)
        if first.text != second.text:
            pairs.setdefault((first.text, second.text), (first, second, label))
    return [
        {
            "sentence_pair_id": str(number),
            "yjcaptions_id": f"{first.topic}_{first.index}-{second.topic}_{second.index}-{number}",
            "sentence1": first.text,
            "sentence2": second.text,
            "label": label,
        }
        for number, (first, second, label) in enumerate(pairs.values())
    ]


def _jsts_pair(random: Random, pool: RowPool) -> LabelledPair:
    """A pair on one row (three of five pairs), on two rows of a topic, or on two rows of any topics."""
    topic, index = pool.draw(random)
    first = make_statement(random, topic, index, _draw_columns(random, topic))
    chance = random.random()
    if chance > 0.8:
        topic, index = pool.draw(random)
    elif chance > 0.6:
        index = pool.neighbour(random, topic, index)
    columns = sorted(first.columns) if chance < 0.2 else _draw_columns(random, topic)
    second = make_statement(random, topic, index, columns)
    return first, second, round(similarity(first, second), 1)


def similarity(first: Statement, second: Statement) -> float:
    """5 × the weight of what both statements have in common ÷ the weight of all that either has."""
    if first.topic != second.topic:
        return 0.0
    same_row = first.index == second.index
    shared = len(first.columns & second.columns) if same_row else 0
    common = TOPIC + ROW * same_row + FACT * shared
    return 5 * common / (TOPIC + ROW * (2 - same_row) + FACT * (len(first.columns) + len(second.columns) - shared))


def _jnli_pair(random: Random, pool: RowPool) -> LabelledPair:
    """A pair whose first sentence states two columns; the second states one of them, a false value, or a third one."""
    topic, index = pool.draw(random)
    table = topics()[topic]
    columns = _draw_columns(random, topic, 2)
    first = make_statement(random, topic, index, columns)
    exclusive = [column for column in columns if column in table.exclusive]
    unstated = [column for column in fact_columns(table) if column not in columns]
    label = pick(random, ("entailment", *["contradiction"] * bool(exclusive), *["neutral"] * bool(unstated)))
    if label == "entailment":
        return first, make_statement(random, topic, index, [pick(random, columns)]), label
    if label == "neutral":
        return first, make_statement(random, topic, index, [pick(random, unstated)]), label
    column = pick(random, exclusive)
    other_values = [row[column] for row in table.rows if row[column] != table.rows[index][column]]
    false_row = {**table.rows[index], column: pick(random, other_values)}
    return first, make_statement(random, topic, index, [column], false_row), label


def _draw_columns(random: Random, topic: int, count: int = 0) -> list[str]:
    """Draw `count` fact columns of a topic; 0 draws one or two."""
    return random.sample(fact_columns(topics()[topic]), count or 1 + (random.random() < 0.5))
