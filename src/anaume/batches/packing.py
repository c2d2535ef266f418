"""Documents → pieces of at most the stage's length → rows of a fixed number of slots.

Comes in: the lengths of a window of documents, in order. Goes out: for each row, which pieces lie in it. The rule:
every piece is in exactly one row, and with `split` every token is in exactly one piece.
"""

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Stops = Callable[[int, int], list[int]]
# Each piece begins with [CLS] and ends with [SEP].
SPECIALS = 2


@dataclass(frozen=True)
class Pieces:
    """Parts of documents: `document[i]` from token `start[i]` to `stop[i]` (special tokens not counted)."""

    document: Integers
    start: Integers
    stop: Integers

    @property
    def lengths(self) -> Integers:
        """Slots that each piece takes, [CLS] and [SEP] included."""
        return self.stop - self.start + SPECIALS


def cut(lengths: Integers, length: int, documents: Literal["split", "truncate"], stops: Stops | None = None) -> Pieces:
    """Cut documents of these lengths (tokens) into pieces that take at most `length` slots; an empty one gives none.

    `stops(i, capacity)` says where to end the pieces of document i, which is longer than `capacity` tokens; without it
    all but its last are full.
    """
    capacity = length - SPECIALS
    if documents == "truncate":
        document = np.flatnonzero(lengths)
        return Pieces(document, np.zeros_like(document), np.minimum(lengths[document], capacity))
    counts = -(-lengths // capacity)
    if stops:
        chosen = {int(i): stops(int(i), capacity) for i in np.flatnonzero(counts > 1)}
        counts[list(chosen)] = [len(ends) for ends in chosen.values()]
    document = np.repeat(np.arange(len(lengths)), counts)
    first = np.cumsum(counts) - counts
    stop = np.minimum((np.arange(len(document)) - first[document] + 1) * capacity, lengths[document])
    if stops:
        for i, ends in chosen.items():
            stop[first[i] : first[i] + counts[i]] = ends
    start = np.roll(stop, 1)
    start[first[counts > 0]] = 0
    return Pieces(document, start, stop)


def sentence_stops(ids: NDArray[np.uint32], capacity: int, ends_sentence: NDArray[np.bool_]) -> list[int]:
    """Where to end the pieces of a document: at the last end of a sentence in the last eighth of each, or when full."""
    stops, at = [], 0
    while len(ids) - at > capacity:
        full = at + capacity
        near = full - capacity // 8
        ends = np.flatnonzero(ends_sentence[ids[near:full]])
        at = near + int(ends[-1]) + 1 if len(ends) else full
        stops.append(at)
    return [*stops, len(ids)]


def chosen(pieces: Pieces, index: Integers) -> Pieces:
    """Some of the pieces, in this order."""
    return Pieces(pieces.document[index], pieces.start[index], pieces.stop[index])


def pack(lengths: Integers, row_tokens: int) -> list[list[int]]:
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
