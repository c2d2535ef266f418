"""Drawing from a stream: known counts, and every set as likely as another."""

from collections import Counter

import numpy as np
import pytest

from anaume.evals.inputs.reservoir import Reservoir


def draw(seed: int, items: int, size: int) -> tuple[int, ...]:
    reservoir = Reservoir[int](np.random.default_rng(seed), size)
    for item in range(items):
        reservoir.offer(item)
    assert reservoir.seen == items
    return tuple(reservoir.kept)


def test_short_streams_are_kept_whole() -> None:
    assert sorted(draw(0, 5, 8)) == [0, 1, 2, 3, 4]
    assert draw(0, 0, 8) == ()
    assert draw(3, 50, 8) == draw(3, 50, 8) != draw(4, 50, 8)


@pytest.mark.parametrize("items", [3, 5])
def test_every_ordered_draw_is_equally_likely(items: int) -> None:
    """Of 3 and of 5 items, 3 in order: 6 and 60 outcomes."""
    trials, outcomes = 12_000, {3: 6, 5: 60}[items]
    counts = Counter(draw(seed, items, 3) for seed in range(trials))
    assert len(counts) == outcomes
    expected = trials / outcomes
    # Chi-squared with (outcomes − 1) degrees of freedom: five standard deviations above its mean.
    distance = sum((count - expected) ** 2 / expected for count in counts.values())
    assert distance < outcomes + 5 * (2 * outcomes) ** 0.5
