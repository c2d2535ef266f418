"""A stream of unknown length → a few of its items, each set of them equally likely, in random order (algorithm R).

Vitter, "Random sampling with a reservoir", ACM TOMS 11 (1985). The same generator and stream give the same items.
"""

from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass
class Reservoir(Generic[T]):
    """Holds up to `size` of the `seen` items that it was offered."""

    random: np.random.Generator
    size: int
    kept: list[T] = field(default_factory=list)
    seen: int = 0

    def offer(self, item: T) -> None:
        """Take the item in with the chance that it deserves, perhaps in the place of another."""
        place = int(self.random.integers(self.seen + 1))
        self.seen += 1
        if len(self.kept) < self.size:
            self.kept.append(item)
            self.kept[place], self.kept[-1] = self.kept[-1], self.kept[place]
        elif place < self.size:
            self.kept[place] = item
