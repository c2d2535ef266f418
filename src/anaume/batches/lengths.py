"""The paper's length bins (section 4.4), and the resampling that gives each bin a required share of the tokens."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from anaume.recipe import LENGTH_BINS

# Shortest first; the last bin holds the pieces longer than the paper's longest bin.
BIN_NAMES = (
    *(f"({low}, {high}]" if low else f"[0, {high}]" for low, high in pairwise((0, *LENGTH_BINS))),
    f"({LENGTH_BINS[-1]}, …)",
)


def bins_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the bin of each length: (n,) → (n,)."""
    return np.searchsorted(LENGTH_BINS, lengths)


def tokens_by_bin(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sum of the lengths in each bin: (n,) → (bins,)."""
    return np.bincount(bins_of(lengths), weights=lengths, minlength=len(BIN_NAMES)).astype(np.int64)


def keep_probabilities(lengths: NDArray[np.int64], shares: Sequence[float]) -> NDArray[np.float64]:
    """Probability of keeping a piece of each bin, (bins,), so that the kept tokens have the required `shares`.

    `lengths`, (n,), is a sample of the pieces. The scarcest bin is kept whole.

    Raises:
        ValueError: `shares` asks for a bin that the sample does not contain; the message is the bin's name.
    """
    required = np.zeros(len(BIN_NAMES))
    required[: len(shares)] = shares
    sampled = tokens_by_bin(lengths) / max(1, lengths.sum())
    if (lacking := (required > 0) & (sampled == 0)).any():
        raise ValueError(BIN_NAMES[int(lacking.argmax())])
    ratio = np.divide(required, sampled, out=np.zeros_like(required), where=sampled > 0)
    probabilities: NDArray[np.float64] = ratio / ratio.max()
    return probabilities
