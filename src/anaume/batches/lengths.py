"""Pieces by their length: the paper's four bins (section 4.4), and how to reach a wanted share of tokens in each."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from anaume.recipe import LENGTH_BINS

# The bins, shortest first; the last holds what is longer than the paper's.
BIN_NAMES = (
    *(f"({low}, {high}]" if low else f"[0, {high}]" for low, high in pairwise((0, *LENGTH_BINS))),
    f"({LENGTH_BINS[-1]}, …)",
)


def bins_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """The bin of each length: (n,) → (n,)."""
    return np.searchsorted(LENGTH_BINS, lengths)


def tokens_by_bin(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Tokens in pieces of each bin: (n,) lengths → (bins,)."""
    return np.bincount(bins_of(lengths), weights=lengths, minlength=len(BIN_NAMES)).astype(np.int64)


def keep_probabilities(lengths: NDArray[np.int64], shares: Sequence[float]) -> NDArray[np.float64]:
    """(bins,) how likely a piece of each bin has to be kept, so that the kept tokens have these shares.

    `lengths` are those of a sample of pieces. The scarcest bin is kept whole.

    Raises:
        ValueError: a share is wanted of a bin in which the sample has nothing.
    """
    wanted = np.zeros(len(BIN_NAMES))
    wanted[: len(shares)] = shares
    found = tokens_by_bin(lengths) / max(1, lengths.sum())
    if (lacking := (wanted > 0) & (found == 0)).any():
        raise ValueError(BIN_NAMES[int(lacking.argmax())])
    ratio = np.divide(wanted, found, out=np.zeros_like(wanted), where=found > 0)
    kept: NDArray[np.float64] = ratio / ratio.max()
    return kept
