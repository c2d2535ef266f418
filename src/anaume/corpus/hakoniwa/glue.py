"""Miniature JSTS and JNLI: sentence pairs whose label follows from the facts that they tell."""

from collections.abc import Callable
from random import Random

from anaume.corpus.hakoniwa.deck import pick
from anaume.corpus.hakoniwa.statements import Part, Statement, columns, part, state
from anaume.corpus.hakoniwa.topics import topics

Label = str | float
Example = tuple[Statement, Statement, Label]

# What two statements can have in common, and how much each counts for their similarity.
TOPIC, ROW, FACT = 1.0, 1.0, 3.0


def jsts(seed: int, count: int, *, validation: bool) -> list[dict[str, Label]]:
    """Rows of jsts-v1.3: similarity from 0.0 (nothing in common) to 5.0 (the same facts in other words)."""
    return _rows(f"hakoniwa jsts {seed} {validation}", count, part(validation=validation), _similar)


def jnli(seed: int, count: int, *, validation: bool) -> list[dict[str, Label]]:
    """Rows of jnli-v1.3: whether sentence 2 follows from sentence 1, contradicts it, or neither."""
    return _rows(f"hakoniwa jnli {seed} {validation}", count, part(validation=validation), _inference)


def _rows(seed: str, count: int, rows: Part, make: Callable[[Random, Part], Example]) -> list[dict[str, Label]]:
    """`count` examples in JGLUE's fields, no pair of sentences twice."""
    random = Random(seed)
    found: dict[tuple[str, str], Example] = {}
    while len(found) < count:
        example = make(random, rows)
        if example[0].text != example[1].text:
            found.setdefault((example[0].text, example[1].text), example)
    return [
        {
            "sentence_pair_id": str(number),
            "yjcaptions_id": f"{one.topic}_{one.index}-{other.topic}_{other.index}-{number}",
            "sentence1": one.text,
            "sentence2": other.text,
            "label": label,
        }
        for number, (one, other, label) in enumerate(found.values())
    ]


def _similar(random: Random, rows: Part) -> Example:
    """Half of the pairs on one row, the others on two rows of a topic or of two topics."""
    topic, index = rows.draw(random)
    one = state(random, topic, index, _some_columns(random, topic))
    chance = random.random()
    if chance > 0.8:
        topic, index = rows.draw(random)
    elif chance > 0.6:
        index = rows.neighbour(random, topic, index)
    told = sorted(one.columns) if chance < 0.2 else _some_columns(random, topic)
    other = state(random, topic, index, told)
    return one, other, round(similarity(one, other), 1)


def similarity(one: Statement, other: Statement) -> float:
    """5 × the weight of what both tell ÷ the weight of all that either tells."""
    if one.topic != other.topic:
        return 0.0
    same_row = one.index == other.index
    shared = len(one.columns & other.columns) if same_row else 0
    common = TOPIC + ROW * same_row + FACT * shared
    return 5 * common / (TOPIC + ROW * (2 - same_row) + FACT * (len(one.columns) + len(other.columns) - shared))


def _inference(random: Random, rows: Part) -> Example:
    """Sentence 1 tells two columns; sentence 2 one of them, one of them wrongly, or a third."""
    topic, index = rows.draw(random)
    about = topics()[topic]
    told = _some_columns(random, topic, 2)
    one = state(random, topic, index, told)
    wrong = [fact for fact in told if fact in about.exclusive]
    untold = [fact for fact in columns(about) if fact not in told]
    label = pick(random, ("entailment", *["contradiction"] * bool(wrong), *["neutral"] * bool(untold)))
    if label == "entailment":
        return one, state(random, topic, index, [pick(random, told)]), label
    if label == "neutral":
        return one, state(random, topic, index, [pick(random, untold)]), label
    fact = pick(random, wrong)
    others = [row[fact] for row in about.rows if row[fact] != about.rows[index][fact]]
    row = {**about.rows[index], fact: pick(random, others)}
    return one, state(random, topic, index, [fact], row), label


def _some_columns(random: Random, topic: int, count: int = 0) -> list[str]:
    """`count` columns of a topic, or one or two."""
    return random.sample(columns(topics()[topic]), count or 1 + (random.random() < 0.5))
