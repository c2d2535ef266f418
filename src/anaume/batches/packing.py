"""Lengths of documents → pieces of at most the stage's length → rows of a fixed number of slots.

The rule: every piece is in exactly one row, and with `split` every token is in exactly one piece.
"""

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Stops = Callable[[int, int], list[int]]
# (n,) ids of a document → (n,) True where a sentence ends.
SentenceEnds = Callable[[NDArray[np.uint32]], NDArray[np.bool_]]
# Each piece begins with [CLS] and ends with [SEP].
SPECIALS = 2


@dataclass(frozen=True)
class Pieces:
    """Piece i is tokens `start[i]` to `stop[i]` − 1 of document `document[i]`, special tokens not counted."""

    document: Integers
    start: Integers
    stop: Integers

    @property
    def lengths(self) -> Integers:
        """Number of slots of each piece, [CLS] and [SEP] included."""
        return self.stop - self.start + SPECIALS


def cut(lengths: Integers, length: int, documents: Literal["split", "truncate"], stops: Stops | None = None) -> Pieces:
    """Cut documents of these lengths (tokens) into pieces of at most `length` slots; an empty document has no piece.

    `stops(i, capacity)` returns the ends of the pieces of document i, which is longer than `capacity` tokens. With
    None every piece is full, except the last one of a document.
    """
    capacity = length - SPECIALS
    if documents == "truncate":
        document = np.flatnonzero(lengths)
        return Pieces(document, np.zeros_like(document), np.minimum(lengths[document], capacity))
    counts = -(-lengths // capacity)
    if stops:
        piece_ends = {int(i): stops(int(i), capacity) for i in np.flatnonzero(counts > 1)}
        counts[list(piece_ends)] = [len(ends) for ends in piece_ends.values()]
    document = np.repeat(np.arange(len(lengths)), counts)
    first = np.cumsum(counts) - counts
    stop = np.minimum((np.arange(len(document)) - first[document] + 1) * capacity, lengths[document])
    if stops:
        for i, ends in piece_ends.items():
            stop[first[i] : first[i] + counts[i]] = ends
    start = np.roll(stop, 1)
    start[first[counts > 0]] = 0
    return Pieces(document, start, stop)


def sentence_stops(ids: NDArray[np.uint32], capacity: int, sentence_ends: SentenceEnds) -> list[int]:
    """Ends of a document's pieces of at most `capacity` tokens, as token offsets.

    A piece ends with the last sentence that ends in its last eighth, and otherwise when it is full.
    """
    stops, start = [], 0
    while len(ids) - start > capacity:
        full = start + capacity
        last_eighth = full - capacity // 8
        # One id more: what follows a full stop says whether it ends a sentence.
        ends = np.flatnonzero(sentence_ends(ids[last_eighth : full + 1])[:-1])
        start = last_eighth + int(ends[-1]) + 1 if len(ends) else full
        stops.append(start)
    return [*stops, len(ids)]


def select(pieces: Pieces, index: Integers) -> Pieces:
    """The pieces at these indices, in their order."""
    return Pieces(pieces.document[index], pieces.start[index], pieces.stop[index])


def pack(lengths: Integers, row_tokens: int) -> list[list[int]]:
    """Rows of piece numbers by best fit, longest piece first: each goes into the fullest row with room for it."""
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


def rows_without_packing(pieces: int, per_row: int) -> list[list[int]]:
    """Rows of `per_row` consecutive pieces, as in the paper: each piece is padded to the stage's length."""
    return [list(range(first, min(first + per_row, pieces))) for first in range(0, pieces, per_row)]
