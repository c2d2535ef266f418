"""How far guesses agree with labels: two arrays of the same length → a number. Where a measure is not defined (constant
or non-finite guesses have no correlation) it is 0, so that a training that diverged ranks last.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Values = NDArray[np.float64]


def accuracy(guesses: Values, labels: Values) -> float:
    """The share of equal ones."""
    return float((guesses == labels).mean())


def pearson(guesses: Values, labels: Values) -> float:
    """The correlation of the values."""
    if not np.isfinite(guesses).all() or np.ptp(guesses) == 0 or np.ptp(labels) == 0:
        return 0.0
    return float(np.corrcoef(guesses, labels)[0, 1])


def spearman(guesses: Values, labels: Values) -> float:
    """The correlation of the ranks; equal values share the mean of theirs."""
    if not np.isfinite(guesses).all():
        return 0.0
    return pearson(rankdata(guesses), rankdata(labels))


def matthews(guesses: Values, labels: Values) -> float:
    """Matthews' coefficient of two classes, 0 and 1: the correlation of the two indicators."""
    return pearson(guesses, labels)
