"""Scores of entities against seqeval in its strict mode and against nervaluate, on random texts and by hand."""

import random
from collections.abc import Sequence

import pytest
from nervaluate import Evaluator
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from anaume.evals.ner.scores import entity_scores
from anaume.finetune.examples import Entity

TYPES = ("地名", "人名", "法人名")
LENGTH = 30

Texts = list[tuple[Entity, ...]]


def draw(chance: random.Random, *, long: bool = False) -> tuple[Entity, ...]:
    """Entities of a text, some of them side by side."""
    entities, place = [], 0
    while place < LENGTH - 1:
        place += chance.choice((0, 0, 1, 3, 7))
        end = min(LENGTH, place + chance.randint(1, 12 if long else 5))
        if end > place:
            entities.append(Entity(place, end, chance.choice(TYPES)))
        place = end
    return tuple(entities)


def disturbed(chance: random.Random, entities: Sequence[Entity]) -> tuple[Entity, ...]:
    """Entities of which some are left out, some of another type and some with moved borders."""
    result: list[Entity] = []
    for start, end, name in entities:
        low = max(start + chance.choice((0, 0, 0, -1, 1)), result[-1].end if result else 0)
        high = min(end + chance.choice((0, 0, 0, -1, 1)), LENGTH)
        if low < high and chance.random() > 0.2:
            result.append(Entity(low, high, name if chance.random() > 0.3 else chance.choice(TYPES)))
    return tuple(result)


def drawn(seed: int) -> tuple[Texts, Texts]:
    chance = random.Random(seed)
    marked = [draw(chance) for _ in range(12)]
    predicted = [disturbed(chance, entities) for entities in marked[:8]]
    return marked, [*predicted, *(draw(chance, long=True) for _ in marked[8:])]


def tags(entities: Sequence[Entity]) -> list[str]:
    """A tag for each character."""
    row = ["O"] * LENGTH
    for start, end, name in entities:
        row[start:end] = [f"B-{name}", *[f"I-{name}"] * (end - start - 1)]
    return row


@pytest.mark.parametrize("seed", range(25))
def test_against_seqeval(seed: int) -> None:
    marked, predicted = drawn(seed)
    scores = entity_scores(marked, predicted, TYPES)
    rows = [tags(entities) for entities in marked], [tags(entities) for entities in predicted]
    strict = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
    for name, function in (("precision", precision_score), ("recall", recall_score), ("f1", f1_score)):
        assert scores[name] == pytest.approx(function(*rows, average="micro", **strict))
        by_type = function(*rows, average=None, **strict)  # in the order of the types' names
        assert [scores[f"{name} {kind}"] for kind in sorted(TYPES)] == pytest.approx(list(by_type))
    assert scores["macro_f1"] == pytest.approx(f1_score(*rows, average="macro", **strict))
    assert 0.05 < scores["f1"] < 0.95


@pytest.mark.parametrize("seed", range(25))
def test_against_nervaluate(seed: int) -> None:
    marked, predicted = drawn(seed)
    scores = entity_scores(marked, predicted, TYPES)

    def spans(texts: Texts) -> list[list[dict[str, object]]]:
        return [[{"label": e.type, "start": e.start, "end": e.end - 1} for e in entities] for entities in texts]

    results = Evaluator(spans(marked), spans(predicted), list(TYPES), "dict").evaluate()
    for name, ours in (("strict", "f1"), ("exact", "exact_f1"), ("partial", "partial_f1"), ("ent_type", "type_f1")):
        assert scores[ours] == pytest.approx(results["overall"][name].f1), name
    assert scores["precision"] == pytest.approx(results["overall"]["strict"].precision)
    assert scores["recall"] == pytest.approx(results["overall"]["strict"].recall)
    for kind in TYPES:
        assert scores[f"f1 {kind}"] == pytest.approx(results["entities"][kind]["strict"].f1)
    assert scores["f1"] < scores["type_f1"]  # the four are not one


def test_a_long_entity_needs_an_overlap_of_a_hundredth() -> None:
    marked = [(Entity(0, 250, "地名"),)]
    for length, score in ((2, 0.0), (3, 1.0)):
        assert entity_scores(marked, [(Entity(0, length, "地名"),)], TYPES)["type_f1"] == score


def test_by_hand() -> None:
    marked = [(Entity(0, 2, "地名"), Entity(5, 8, "人名"))]
    predicted = [(Entity(0, 2, "地名"), Entity(5, 7, "人名"), Entity(9, 10, "人名"))]
    scores = entity_scores(marked, predicted, TYPES)
    assert scores["precision"] == pytest.approx(1 / 3)
    assert scores["recall"] == 0.5
    assert scores["f1"] == pytest.approx(2 / 5)
    assert scores["partial_f1"] == pytest.approx(2 * 1.5 / 5)
    assert scores["type_f1"] == pytest.approx(2 * 2 / 5)
    assert scores["macro_f1"] == 0.5  # 地名 1, 人名 0; there is no 法人名
    assert entity_scores([()], [()], TYPES)["f1"] == 0
