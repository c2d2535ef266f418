"""Predictions and labels → scores.

Where a measure is not defined (a constant or non-finite prediction has no correlation) it is 0, so that a training that
diverged ranks last.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from anaume.finetune.examples import Example

Values = NDArray[np.float64]


def accuracy(predictions: Values, labels: Values) -> float:
    """Fraction of predictions that equal their label."""
    return float((predictions == labels).mean())


def pearson(predictions: Values, labels: Values) -> float:
    """Pearson's correlation coefficient."""
    if not np.isfinite(predictions).all() or np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    return float(np.corrcoef(predictions, labels)[0, 1])


def spearman(predictions: Values, labels: Values) -> float:
    """Spearman's rank correlation coefficient; equal values share the mean of their ranks."""
    if not np.isfinite(predictions).all():
        return 0.0
    return pearson(rankdata(predictions), rankdata(labels))


def matthews(predictions: Values, labels: Values) -> float:
    """Matthews' correlation coefficient of two classes, 0 and 1: the correlation of the two indicators."""
    return pearson(predictions, labels)


def exact_match(answer: str, accepted: str) -> float:
    """1 if the two texts are equal once normalised, otherwise 0."""
    return float(_normalised(answer) == _normalised(accepted))


def f1(answer: str, accepted: str) -> float:
    """Harmonic mean of precision and recall over the multisets of characters."""
    predicted, expected = Counter(_normalised(answer)), Counter(_normalised(accepted))
    shared = (predicted & expected).total()
    if not predicted or not expected:
        return float(predicted == expected)
    return 2 * shared / (predicted.total() + expected.total())


def answer_scores(answers: Sequence[str], examples: Sequence[Example]) -> dict[str, float]:
    """Exact match and F1 as JGLUE measures them: the best over the accepted answers, averaged over the questions."""
    measured = [
        [max(measure(answer, accepted.text) for accepted in example.answers) for measure in (exact_match, f1)]
        for answer, example in zip(answers, examples, strict=True)
    ]
    exact, overlap = np.mean(measured, axis=0)
    return {"exact_match": float(exact), "f1": float(overlap)}


def _normalised(text: str) -> str:
    """Lower case, no full stop at the end, single spaces: as JGLUE's patch of transformers' squad_metrics.py does."""
    return " ".join(text.lower().rstrip("。").split())
