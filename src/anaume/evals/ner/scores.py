"""Entities, as marked and as predicted → precision, recall and F1, overall and by type.

An entity is right if its characters and its type are: seqeval's strict mode, micro-averaged. Three more F1 are those of
nervaluate. `exact` asks for the characters only; `type` for the type and for some common characters; `partial` counts
an entity with some common characters and any type as a half. (Segura-Bedmar and others, SemEval-2013 task 9.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from anaume.finetune.examples import Entity

Entities = Sequence[Entity]
# nervaluate's smallest overlap that counts, as a fraction of the marked entity.
MIN_OVERLAP = 0.01


@dataclass(frozen=True)
class EntityCounts:
    """Numbers of entities: right ones (a partial one counts as a half), predicted ones and marked ones."""

    right: float
    predicted: int
    marked: int

    @property
    def precision(self) -> float:
        """Fraction of the predicted entities that are right; 0 if none is predicted."""
        return self.right / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Fraction of the marked entities that are right; 0 if none is marked."""
        return self.right / self.marked if self.marked else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 if there are no entities."""
        total = self.predicted + self.marked
        return 2 * self.right / total if total else 0.0


def entity_scores(marked: Sequence[Entities], predicted: Sequence[Entities], types: Sequence[str]) -> dict[str, float]:
    """Return the scores of a split; both sequences hold the entities of each text.

    `macro_f1` is the mean of the F1 of the types that are marked or predicted.
    """
    overall = _count(marked, predicted, _strict)
    by_type = {name: _count(_only(marked, name), _only(predicted, name), _strict) for name in types}
    present = [counts.f1 for counts in by_type.values() if counts.marked or counts.predicted]
    return {
        "f1": overall.f1,
        "precision": overall.precision,
        "recall": overall.recall,
        "macro_f1": sum(present) / len(present) if present else 0.0,
        "exact_f1": _count(marked, predicted, _exact).f1,
        "partial_f1": _count(marked, predicted, _partial).f1,
        "type_f1": _count(marked, predicted, _type).f1,
        **{
            f"{measure} {name}": getattr(counts, measure)
            for measure in ("f1", "precision", "recall")
            for name, counts in by_type.items()
        },
    }


def _only(texts: Sequence[Entities], name: str) -> list[Entities]:
    return [[entity for entity in entities if entity.type == name] for entities in texts]


def _count(
    marked: Sequence[Entities], predicted: Sequence[Entities], right: Callable[[Entities, Entities], float]
) -> EntityCounts:
    pairs = zip(marked, predicted, strict=True)
    return EntityCounts(sum(right(*pair) for pair in pairs), sum(map(len, predicted)), sum(map(len, marked)))


def _strict(marked: Entities, predicted: Entities) -> float:
    return len({*marked} & {*predicted})


def _exact(marked: Entities, predicted: Entities) -> float:
    return len({entity[:2] for entity in marked} & {entity[:2] for entity in predicted})


def _partial(marked: Entities, predicted: Entities) -> float:
    """Count 1 for equal characters and 1/2 for common ones; each marked entity counts once."""
    free = list(marked)
    total = 0.0
    for entity in predicted:
        touching = [other for other in free if _overlap(entity, other)]
        if touching:
            match = next((other for other in touching if other[:2] == entity[:2]), touching[0])
            total += 1.0 if match[:2] == entity[:2] else 0.5
            free.remove(match)
    return total


def _type(marked: Entities, predicted: Entities) -> float:
    """Count the predicted entities that share characters and the type with a marked one, which counts once.

    A predicted entity takes the marked one whose borders are nearest. If none of its type is left, it takes the first
    of another type, which then has no chance to be right. nervaluate does so.
    """
    free = list(marked)
    total = 0
    for entity in predicted:
        touching = [other for other in free if _overlap(entity, other)]
        alike = [other for other in touching if other.type == entity.type]
        if alike:
            free.remove(min(alike, key=lambda other: abs(other.start - entity.start) + abs(other.end - entity.end)))
            total += 1
        elif touching:
            free.remove(touching[0])
    return total


def _overlap(predicted: Entity, marked: Entity) -> bool:
    common = min(predicted.end, marked.end) - max(predicted.start, marked.start)
    return common > 0 and common >= MIN_OVERLAP * (marked.end - marked.start)
