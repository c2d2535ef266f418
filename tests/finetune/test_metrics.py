"""Correlations and shares, against scipy and scikit-learn."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, matthews_corrcoef

from anaume.finetune.metrics import accuracy, matthews, pearson, spearman


@pytest.mark.parametrize("seed", range(5))
def test_correlations_are_scipys(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 26, 200) / 5  # as JSTS's: many are equal
    guesses = np.round(labels + random.normal(size=200), 1)
    assert pearson(guesses, labels) == pytest.approx(stats.pearsonr(guesses, labels).statistic, abs=1e-12)
    assert spearman(guesses, labels) == pytest.approx(stats.spearmanr(guesses, labels).statistic, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_shares_are_scikit_learns(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = (random.random(300) < 0.8).astype(float)
    guesses = np.where(random.random(300) < 0.7, labels, 1 - labels)
    assert matthews(guesses, labels) == pytest.approx(matthews_corrcoef(labels, guesses), abs=1e-12)
    assert accuracy(guesses, labels) == pytest.approx(accuracy_score(labels, guesses), abs=1e-12)


def test_by_hand() -> None:
    labels = np.array([0.0, 0.0, 1.0, 1.0])
    assert pearson(np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 4.0, 6.0, 8.0])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2.0, 3.0, 40.0]), np.array([4.0, 3.0, 2.0, 1.0])) == pytest.approx(-1)
    assert accuracy(np.array([0.0, 1.0, 1.0, 1.0]), labels) == 0.75
    # One false positive: (1 × 2 − 1 × 0) / √(3 × 2 × 2 × 1)
    assert matthews(np.array([0.0, 1.0, 1.0, 1.0]), labels) == pytest.approx(2 / 12**0.5)


def test_what_is_not_defined_is_zero() -> None:
    labels = np.array([0.0, 1.0, 1.0])
    for guesses in ([2.0, 2.0, 2.0], [np.nan, 1.0, 2.0], [np.inf, 1.0, 2.0]):
        for measure in (pearson, spearman, matthews):
            assert measure(np.array(guesses), labels) == 0.0
