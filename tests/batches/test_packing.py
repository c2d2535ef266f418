import numpy as np
import pytest

from anaume.batches.packing import cut, one_a_slot, pack


def test_split_keeps_every_token_once() -> None:
    lengths = np.array([0, 5, 10, 11, 35])
    pieces = cut(lengths, 12, "split")
    for document, length in enumerate(lengths):
        here = pieces.document == document
        covered = [t for s, e in zip(pieces.start[here], pieces.stop[here], strict=True) for t in range(s, e)]
        assert covered == list(range(length))
    assert pieces.lengths.max() == 12


def test_truncate_keeps_the_first_piece_only() -> None:
    pieces = cut(np.array([5, 0, 100]), 12, "truncate")
    assert pieces.document.tolist() == [0, 2]
    assert pieces.stop.tolist() == [5, 10]


@pytest.mark.parametrize("row_tokens", [64, 100, 1000])
def test_pack_places_every_piece_once_and_never_overfills(row_tokens: int) -> None:
    lengths = np.random.default_rng(0).integers(3, 65, 500)
    rows = pack(lengths, row_tokens)
    assert sorted(piece for row in rows for piece in row) == list(range(500))
    assert max(int(lengths[row].sum()) for row in rows) <= row_tokens


def test_pack_fills_what_can_be_filled() -> None:
    """6 + 4 and 5 + 5 fill two rows of ten; first come, first served would need three."""
    assert len(pack(np.array([5, 4, 6, 5]), 10)) == 2


def test_pack_wastes_less_than_a_hundredth() -> None:
    lengths = np.minimum(np.random.default_rng(1).lognormal(6, 1, 4000).astype(int) + 3, 1024)
    rows = pack(lengths, 8192)
    assert lengths.sum() / (len(rows) * 8192) > 0.99


def test_one_a_slot() -> None:
    assert one_a_slot(5, 2) == [[0, 1], [2, 3], [4]]
