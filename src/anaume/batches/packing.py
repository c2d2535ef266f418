"""Documents → pieces of at most the stage's length → rows of a fixed number of slots.

Comes in: the lengths of a window of documents, in order. Goes out: for each row, which pieces lie in it. The rule:
every piece is in exactly one row, and with `split` every token is in exactly one piece.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

# Each piece begins with [CLS] and ends with [SEP].
SPECIALS = 2


@dataclass(frozen=True)
class Pieces:
    """Parts of documents: `document[i]` from token `start[i]` to `stop[i]` (special tokens not counted)."""

    document: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Slots that each piece takes, [CLS] and [SEP] included."""
        return self.stop - self.start + SPECIALS


def cut(lengths: NDArray[np.int64], length: int, documents: Literal["split", "truncate"]) -> Pieces:
    """Cut documents of these lengths (tokens) into pieces that take at most `length` slots; an empty one gives none."""
    capacity = length - SPECIALS
    counts = -(-lengths // capacity) if documents == "split" else np.minimum(lengths, 1)
    document = np.repeat(np.arange(len(lengths)), counts)
    number = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
    start = number * capacity
    return Pieces(document, start, np.minimum(start + capacity, lengths[document]))


def shuffled(pieces: Pieces, random: np.random.Generator) -> Pieces:
    """The same pieces in another order."""
    order = random.permutation(len(pieces.document))
    return Pieces(pieces.document[order], pieces.start[order], pieces.stop[order])


def pack(lengths: NDArray[np.int64], row_tokens: int) -> list[list[int]]:
    """Best fit, longest first: each piece goes into the fullest row that still has room for it."""
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (free slots, row), sorted
    for piece in np.argsort(-lengths, kind="stable").tolist():
        need = int(lengths[piece])
        place = bisect_left(room, (need, -1))
        free, row = room.pop(place) if place < len(room) else (row_tokens, len(rows))
        if row == len(rows):
            rows.append([])
        rows[row].append(piece)
        if free - need > SPECIALS:
            insort(room, (free - need, row))
    return rows


def one_a_slot(pieces: int, slots: int) -> list[list[int]]:
    """Without packing: so many pieces a row as it has slots of the stage's length, in order (the paper's way)."""
    return [list(range(first, min(first + slots, pieces))) for first in range(0, pieces, slots)]
