"""The order of documents as a function: document k of epoch e, for any number of documents, in constant memory.

An epoch visits each document of each source `weight` times (weight 0.5: half of them, another half each epoch), in an
order that depends on (seed, epoch) alone. The permutation is a Feistel network over the next power of four, walked
until it lands inside the range, so nothing is shuffled and nothing is stored (Black and Rogaway, "Ciphers with
arbitrary finite domains", CT-RSA 2002).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 6
# SplitMix64's constants (Steele, Lea and Flood, OOPSLA 2014).
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    x = (x ^ (x >> np.uint64(30))) * _MIX[0]
    x = (x ^ (x >> np.uint64(27))) * _MIX[1]
    return x ^ (x >> np.uint64(31))


def permute(index: NDArray[np.int64], size: int, key: Sequence[int]) -> NDArray[np.int64]:
    """Map each of `index` (values in [0, size)) to its place in the permutation that `key` selects."""
    half = np.uint64(max(1, (max(size - 1, 1).bit_length() + 1) // 2))
    low = (np.uint64(1) << half) - np.uint64(1)
    round_keys = np.random.SeedSequence(key).generate_state(_ROUNDS, np.uint64)
    value = index.astype(np.uint64)
    outside = np.ones(len(value), dtype=bool)
    while outside.any():
        walking = value[outside]
        left, right = walking >> half, walking & low
        for round_key in round_keys:
            left, right = right, left ^ (_mix(right * _GOLDEN + round_key) & low)
        value[outside] = (left << half) | right
        outside &= value >= np.uint64(size)
    return value.astype(np.int64)


@dataclass(frozen=True)
class Order:
    """`documents` and `weights` of each source; together with the seed they fix every epoch."""

    seed: int
    documents: tuple[int, ...]
    weights: tuple[float, ...]

    @property
    def visits(self) -> tuple[int, ...]:
        """Visits to each source in an epoch, at least one."""
        pairs = zip(self.documents, self.weights, strict=True)
        return tuple(max(1, round(count * weight)) for count, weight in pairs)

    @property
    def epoch_size(self) -> int:
        """Visits in an epoch, over all sources."""
        return sum(self.visits)

    def at(self, epoch: int, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Visits start … stop − 1 of an epoch as (source, document) numbers."""
        visit = permute(np.arange(start, min(stop, self.epoch_size)), self.epoch_size, (self.seed, epoch, 0))
        ends = np.cumsum(np.array(self.visits))
        source = np.searchsorted(ends, visit, side="right")
        within = visit - (ends - np.array(self.visits))[source]
        document = np.empty_like(visit)
        for number, count in enumerate(self.documents):
            here = source == number
            # The n-th visit to a source is its n-th document in an order of the epoch's own: a weight below 1 leaves
            # out others each time.
            document[here] = permute(within[here] % count, count, (self.seed, epoch, 1 + number))
        return source, document
