"""Counted sequences of ids → the new pieces that save most tokens on them.

Each step joins the pair of neighbours that occurs most often, as in the training of a BPE (Sennrich et al., 2016), but
it begins with the pieces that a tokenizer has. Joining a pair once saves one token.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from anaume.tokenizer.extend.sequences import Sequence, character_of

Pair = tuple[int, int]

LONGEST = 16  # characters of a new piece, as in `train`
_LEAST = 2  # times that a pair must occur


@dataclass
class Merges:
    """New pieces, in the order in which they are found.

    `pieces`       spelling of each new id, the first of which follows the last old id
    `pairs`        the pairs to join, in order, each with its new id; several may give the same new piece
    `parts`        new id → the old ids, or unknown characters, that it joins
    `occurrences`  id → how often it stands in the sequences after all steps
    `least_saved`  number of tokens that the last step saved
    """

    pieces: list[str] = field(default_factory=list)
    pairs: dict[Pair, int] = field(default_factory=dict)
    parts: dict[int, Sequence] = field(default_factory=dict)
    occurrences: Counter[int] = field(default_factory=Counter)
    least_saved: int = 0


class Joiner:
    """Joins pairs in counted sequences, the most frequent first; of equal pairs the one with the lower ids.

    `pieces` are the spellings of the old ids. `accepts` says whether the text of two ids, given as their old ids and as
    their spelling, may be a piece.
    """

    def __init__(
        self, counts: Mapping[Sequence, int], pieces: list[str], accepts: Callable[[Sequence, str], bool]
    ) -> None:
        self.merges = Merges()
        self._pieces, self._accepts = pieces, accepts
        self._ids = {piece: index for index, piece in enumerate(pieces)}
        self._old = len(pieces)
        self._sequences = [list(sequence) for sequence in counts]
        self._counts = list(counts.values())
        self._pair_counts: Counter[Pair] = Counter()
        self._places: defaultdict[Pair, set[int]] = defaultdict(set)
        for place, sequence in enumerate(self._sequences):
            for index in sequence:
                self.merges.occurrences[index] += self._counts[place]
            for pair in pairwise(sequence):
                self._pair_counts[pair] += self._counts[place]
                self._places[pair].add(place)
        self._queue = [(-count, pair) for pair, count in self._pair_counts.items() if count >= _LEAST]
        heapq.heapify(self._queue)

    def step(self) -> bool:
        """Join the next pair everywhere; False if no pair occurs often enough."""
        while self._queue:
            count, pair = heapq.heappop(self._queue)
            current = self._pair_counts[pair]
            if -count != current:  # The count has changed since the pair was queued.
                if current >= _LEAST:
                    heapq.heappush(self._queue, (-current, pair))
                continue
            joined = self._joined(pair)
            if joined is not None:
                self.merges.least_saved = current
                self.merges.pairs.setdefault(pair, joined)
                self._join(pair, joined)
                return True
        return False

    def spelling(self, index: int) -> str:
        """Return the spelling of an old or new id, or the unknown character for which a negative number stands."""
        if index < 0:
            return character_of(index)
        return self._pieces[index] if index < self._old else self.merges.pieces[index - self._old]

    def _parts(self, index: int) -> Sequence:
        return self.merges.parts.get(index, (index,))

    def _joined(self, pair: Pair) -> int | None:
        """The new id for a pair; None if the pair may not be joined.

        A piece that the tokenizer has already is never joined: texts without new pieces would get other ids.
        """
        spelling = self.spelling(pair[0]) + self.spelling(pair[1])
        index = self._ids.get(spelling)
        if index is not None:
            return index if index >= self._old else None
        parts = self._parts(pair[0]) + self._parts(pair[1])
        if not self._accepts(parts, spelling):
            return None
        index = self._old + len(self.merges.pieces)
        self._ids[spelling] = index
        self.merges.pieces.append(spelling)
        self.merges.parts[index] = parts
        return index

    def _join(self, pair: Pair, joined: int) -> None:
        changed: set[Pair] = set()
        for place in self._places.pop(pair):
            before, count = self._sequences[place], self._counts[place]
            after, joins = _replace(before, pair, joined)
            if not joins:
                continue
            for index, sign in ((joined, 1), (pair[0], -1), (pair[1], -1)):
                self.merges.occurrences[index] += sign * joins * count
            for sequence, sign in ((before, -1), (after, 1)):
                for neighbours in pairwise(sequence):
                    self._pair_counts[neighbours] += sign * count
                    if sign > 0:
                        self._places[neighbours].add(place)
                        if joined in neighbours:
                            changed.add(neighbours)
            self._sequences[place] = after
        del self._pair_counts[pair]
        for new in changed:
            if self._pair_counts[new] >= _LEAST:
                heapq.heappush(self._queue, (-self._pair_counts[new], new))


def _replace(sequence: list[int], pair: Pair, joined: int) -> tuple[list[int], int]:
    """Join each occurrence of a pair, from left to right; return the new sequence and the number of joins."""
    after: list[int] = []
    place = joins = 0
    while place < len(sequence):
        if sequence[place] == pair[0] and sequence[place + 1 : place + 2] == [pair[1]]:
            after.append(joined)
            joins += 1
            place += 2
        else:
            after.append(sequence[place])
            place += 1
    return after, joins
