import numpy as np
import pytest

from anaume.batches.order import Order, permute


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 1000, 4097])
def test_permute_visits_every_index_once(size: int) -> None:
    assert sorted(permute(np.arange(size), size, (1, 2)).tolist()) == list(range(size))


def test_permute_is_a_function_of_the_index() -> None:
    whole = permute(np.arange(1000), 1000, (7,))
    assert permute(np.arange(400, 500), 1000, (7,)).tolist() == whole[400:500].tolist()


def test_permute_looks_random() -> None:
    """The mean displacement of a random permutation of n is n / 3, and few neighbours stay neighbours."""
    order = permute(np.arange(10_000), 10_000, (3,))
    assert abs(np.abs(order - np.arange(10_000)).mean() / 10_000 - 1 / 3) < 0.02
    assert (np.abs(np.diff(order)) == 1).sum() < 20


def test_permute_works_on_a_billion_indices() -> None:
    some = permute(np.arange(999_999_000, 1_000_000_000), 1_000_000_000, (5,))
    assert len(set(some.tolist())) == 1000
    assert some.min() >= 0
    assert some.max() < 1_000_000_000


def _epoch(order: Order, epoch: int) -> list[tuple[int, int]]:
    source, document = order.at(epoch, 0, order.epoch_size)
    return list(zip(source.tolist(), document.tolist(), strict=True))


def test_an_epoch_uses_each_document_as_often_as_its_weight() -> None:
    order = Order(1, (100, 10), (1.0, 3.0))
    visits = _epoch(order, 0)
    assert len(visits) == 130
    assert sorted(visits) == sorted([(0, d) for d in range(100)] + [(1, d) for d in range(10)] * 3)


@pytest.mark.parametrize(("documents", "weight", "epochs"), [(100, 0.5, 2), (90, 1 / 3, 3), (10, 2.5, 2)])
def test_epochs_with_a_part_of_the_documents_share_them_out(documents: int, weight: float, epochs: int) -> None:
    """Together they visit each document equally often: with weight 0.5, the second epoch reads the other half."""
    order = Order(1, (documents, 7), (weight, 1.0))
    visits = [document for epoch in range(epochs) for source, document in _epoch(order, epoch) if source == 0]
    times = round(weight * epochs)
    assert sorted(visits) == sorted(list(range(documents)) * times)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    assert _epoch(Order(1, (50,), (1.0,)), 0) == _epoch(Order(1, (50,), (1.0,)), 0)
    assert _epoch(Order(1, (50,), (1.0,)), 0) != _epoch(Order(1, (50,), (1.0,)), 1)
    assert _epoch(Order(1, (50,), (1.0,)), 0) != _epoch(Order(2, (50,), (1.0,)), 0)
