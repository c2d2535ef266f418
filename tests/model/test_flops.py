import numpy as np
import pytest

from anaume.model.flops import flops, training_flops
from anaume.recipe import Model

MODEL = Model(layers=4, hidden=8, heads=2, intermediate=12, window=4)


@pytest.mark.parametrize("length", [1, 2, 3, 10])
def test_local_attention_by_counting_pairs(length: int) -> None:
    """Two of the four layers are local; each pair costs 12 operations per hidden unit."""
    pairs = sum(abs(i - j) <= 2 for i in range(length) for j in range(length))
    assert flops(MODEL, 100, np.array([length]), 0).local_attention == 12 * MODEL.hidden * 2 * pairs


def test_flops_of_a_batch_by_hand() -> None:
    """Layers 0 and 3 are global; layers 1 and 2 attend to two neighbours on each side."""
    linear = 10 * 4 * (4 * 64 + 3 * 8 * 12)
    head = 3 * (64 + 8 * 100)
    pairs = 2 * (7**2 + 3**2) + 2 * (7 * 5 - 6 + 9)
    expected = 6 * (linear + head + 2 * 8 * pairs)
    assert training_flops(MODEL, 100, np.array([7, 3]), 3) == expected


def test_causal_attention_by_counting_pairs() -> None:
    pairs = [(i, j) for i in range(10) for j in range(10) if j <= i]
    counted = flops(MODEL, 100, np.array([10]), 0, causal=True)
    assert counted.global_attention == 12 * MODEL.hidden * 2 * len(pairs)
    assert counted.local_attention == 12 * MODEL.hidden * 2 * sum(i - j <= 2 for i, j in pairs)


def test_packing_many_documents_costs_less_than_one_of_the_same_size() -> None:
    assert training_flops(MODEL, 100, np.full(10, 100), 30) < training_flops(MODEL, 100, np.array([1000]), 30)
