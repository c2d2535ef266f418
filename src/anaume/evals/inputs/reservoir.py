"""A stream of unknown length → a random sample of its items in random order (algorithm R).

Vitter, "Random sampling with a reservoir", ACM TOMS 11 (1985). The rule: every ordered sample is equally likely, and
equal generators and streams give equal samples.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass
class Reservoir(Generic[T]):
    """Up to `size` of the `seen` items that were offered."""

    random: np.random.Generator
    size: int
    kept: list[T] = field(default_factory=list)
    seen: int = 0

    def offer(self, item: T) -> None:
        """Keep the item with probability `size` / `seen`, in the place of another one if the reservoir is full."""
        place = int(self.random.integers(self.seen + 1))
        self.seen += 1
        if len(self.kept) < self.size:
            self.kept.append(item)
            self.kept[place], self.kept[-1] = self.kept[-1], self.kept[place]
        elif place < self.size:
            self.kept[place] = item
