import numpy as np
import pytest

from anaume.batches.packing import cut, pack, rows_without_packing, sentence_stops


def test_split_keeps_every_token_once() -> None:
    lengths = np.array([0, 5, 10, 11, 35])
    pieces = cut(lengths, 12, "split")
    for document, length in enumerate(lengths):
        in_document = pieces.document == document
        covered = [
            t for s, e in zip(pieces.start[in_document], pieces.stop[in_document], strict=True) for t in range(s, e)
        ]
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


def test_pack_fills_rows_completely_if_possible() -> None:
    """6 + 4 and 5 + 5 fill two rows of ten; placing the pieces in their order would need three."""
    assert len(pack(np.array([5, 4, 6, 5]), 10)) == 2


def test_pack_wastes_less_than_a_hundredth() -> None:
    lengths = np.minimum(np.random.default_rng(1).lognormal(6, 1, 4000).astype(int) + 3, 1024)
    rows = pack(lengths, 8192)
    assert lengths.sum() / (len(rows) * 8192) > 0.99


def test_rows_without_packing_hold_consecutive_pieces() -> None:
    assert rows_without_packing(5, 2) == [[0, 1], [2, 3], [4]]


def test_a_piece_ends_with_a_sentence_that_ends_in_its_last_eighth() -> None:
    ends = np.zeros(10, bool)
    ends[9] = True
    ids = np.zeros(250, np.uint32)
    ids[[95, 98, 150, 193]] = 9  # 98 is the last in its eighth; 150 is before the eighth that ends at 199; 193 is in it
    assert sentence_stops(ids, 100, ends.__getitem__) == [99, 194, 250]
    assert sentence_stops(np.zeros(250, np.uint32), 100, ends.__getitem__) == [100, 200, 250]
    assert sentence_stops(ids[:100], 100, ends.__getitem__) == [100]


def test_cut_uses_the_sentence_ends_and_keeps_every_token() -> None:
    ends = np.array([False, False, True])
    random = np.random.default_rng(0)
    documents = [random.integers(0, 3, n).astype(np.uint32) for n in (30, 0, 500, 98, 99, 1000)]
    lengths = np.array([len(d) for d in documents])
    pieces = cut(lengths, 100, "split", lambda i, capacity: sentence_stops(documents[i], capacity, ends.__getitem__))
    for number, document in enumerate(documents):
        in_document = pieces.document == number
        covered = [
            t for s, e in zip(pieces.start[in_document], pieces.stop[in_document], strict=True) for t in range(s, e)
        ]
        assert covered == list(range(len(document)))
        assert all(document[stop - 1] == 2 for stop in pieces.stop[in_document][:-1])
    assert pieces.lengths.max() <= 100
