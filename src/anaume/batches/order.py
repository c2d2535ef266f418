"""The order of documents as a function: (seed, epoch, index) → source and document, in constant memory.

An epoch visits each document of a source `weight` times. With weight 0.5 it visits half of the documents, and the
next epoch the other half. The order depends on (seed, epoch) only. The permutation is a Feistel network over the next
power of four, applied until the value falls inside the range, so nothing is shuffled or stored (Black and Rogaway,
"Ciphers with arbitrary finite domains", CT-RSA 2002).
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
    """Apply the permutation of [0, size) that `key` selects to each index: (n,) → (n,)."""
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
    """The order of every epoch, from the seed and each source's number of documents and weight."""

    seed: int
    documents: tuple[int, ...]
    weights: tuple[float, ...]

    @property
    def visits(self) -> tuple[int, ...]:
        """Number of visits to each source in an epoch, at least one."""
        pairs = zip(self.documents, self.weights, strict=True)
        return tuple(max(1, round(count * weight)) for count, weight in pairs)

    @property
    def epoch_size(self) -> int:
        """Number of visits in an epoch, over all sources."""
        return sum(self.visits)

    def at(self, epoch: int, start: int, stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Source and document numbers of the visits `start` to `stop` − 1 of an epoch, (n,) each."""
        visit = permute(np.arange(start, min(stop, self.epoch_size)), self.epoch_size, (self.seed, epoch, 0))
        ends = np.cumsum(np.array(self.visits))
        source = np.searchsorted(ends, visit, side="right")
        within = visit - (ends - np.array(self.visits))[source]
        document = np.empty_like(visit)
        for number, count in enumerate(self.documents):
            of_source = source == number
            # Visits are counted over all epochs, and each pass over a source's documents has an order of its own. An
            # epoch with a weight below 1 thus goes on where the last one stopped.
            passes, places = np.divmod(epoch * self.visits[number] + within[of_source], count)
            of_pass = np.empty_like(places)
            for pass_number in np.unique(passes).tolist():
                now = passes == pass_number
                of_pass[now] = permute(places[now], count, (self.seed, pass_number, 1 + number))
            document[of_source] = of_pass
        return source, document
