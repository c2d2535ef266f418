import numpy as np
import pytest

from anaume.batches.lengths import BIN_NAMES, bins_of, keep_probabilities, tokens_by_bin


def test_the_bins_are_the_papers() -> None:
    assert BIN_NAMES == ("[0, 1024]", "(1024, 2048]", "(2048, 4096]", "(4096, 8192]", "(8192, …)")
    assert bins_of(np.array([1, 1024, 1025, 2048, 4096, 4097, 8192, 8193])).tolist() == [0, 0, 1, 1, 2, 3, 3, 4]
    assert tokens_by_bin(np.array([10, 2000, 20, 9000])).tolist() == [30, 2000, 0, 0, 9000]


def test_kept_pieces_have_the_required_shares() -> None:
    random = np.random.default_rng(0)
    lengths = np.minimum(random.lognormal(6.5, 1.2, 200_000).astype(int) + 3, 8192)
    kept = lengths[random.random(len(lengths)) < keep_probabilities(lengths, (0.1, 0.2, 0.3, 0.4))[bins_of(lengths)]]
    shares = tokens_by_bin(kept) / kept.sum()
    assert shares == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.0], abs=0.01)


def test_the_scarcest_bin_is_kept_whole() -> None:
    keep = keep_probabilities(np.array([100] * 90 + [2000]), (0.5, 0.5, 0.0, 0.0))
    assert keep[1] == 1.0
    assert keep[0] == pytest.approx(2000 / 9000)
    assert keep[2:].tolist() == [0.0, 0.0, 0.0]


def test_a_share_for_a_bin_without_pieces_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(2048, 4096\]"):
        keep_probabilities(np.array([100, 2000]), (0.3, 0.3, 0.4, 0.0))
