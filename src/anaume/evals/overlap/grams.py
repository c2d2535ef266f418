"""Evaluation items → an index of their character n-grams; a training document → the n-grams that it shares, exactly.

Texts are compared after Unicode's NFKC (full-width and half-width forms become one) and without white space, so that a
line break inside a sentence hides nothing. The rule: a hash only proposes; characters decide. Memory depends on the
items alone, and a document is hashed in blocks that overlap by n - 1 characters.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NORMALISATION = "Unicode NFKC, white space removed"
BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that a character keeps its weight modulo 2^64
BLOCK = 1 << 20  # characters hashed at a time: 8 MB of hashes
FILTER_BITS = 24  # of the table that rejects most positions before the sorted hashes are searched

Codes = NDArray[np.uint32]
Positions = NDArray[np.int64]


def normalised(text: str) -> str:
    """Return the text as it is compared."""
    return "".join(unicodedata.normalize("NFKC", text).split())


def codes_of(text: str) -> Codes:
    """Return the code points of a text."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


@dataclass(frozen=True)
class GramIndex:
    """The distinct n-grams of all items, ordered by their hashes.

    `codes`      the items' normalised texts, one after the other
    `hashes`     (grams,) uint64, sorted; two grams of one hash stand beside each other
    `first`      (grams,) one place in `codes` where the gram is
    `places`     (occurrences,) places in `codes` where some gram begins, rising
    `gram_at`    (occurrences,) number of the gram at that place
    `is_wanted`  (2^FILTER_BITS,) whether some hash begins with these bits
    """

    n: int
    codes: Codes
    hashes: NDArray[np.uint64]
    first: Positions
    places: Positions
    gram_at: Positions
    is_wanted: NDArray[np.bool_]


def index_grams(texts: Sequence[str], n: int) -> GramIndex:
    """Index all n-grams of the normalised `texts`. No gram spans two texts."""
    lengths = [len(text) for text in texts]
    codes = codes_of("".join(texts))
    starts = np.cumsum([0, *lengths])[:-1]
    parts = [np.arange(start, start + length - n + 1) for start, length in zip(starts, lengths, strict=True)]
    places = np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64)
    hashes = gram_hashes(codes, n)[places] if len(places) else np.empty(0, np.uint64)
    rows = np.lib.stride_tricks.sliding_window_view(codes, n)[places] if len(places) else np.empty((0, n), np.uint32)
    # By hash, then by characters: two grams of one hash become neighbours, not one gram.
    order = np.lexsort((*rows.T[::-1], hashes))
    is_new = np.ones(len(order), bool)
    is_new[1:] = (hashes[order][1:] != hashes[order][:-1]) | (rows[order][1:] != rows[order][:-1]).any(axis=1)
    gram_at = np.empty(len(order), np.int64)
    gram_at[order] = np.cumsum(is_new) - 1
    is_wanted = np.zeros(1 << FILTER_BITS, bool)
    is_wanted[_filter_places(hashes)] = True
    return GramIndex(n, codes, hashes[order][is_new], places[order][is_new], places, gram_at, is_wanted)


def gram_hashes(codes: Codes, n: int) -> NDArray[np.uint64]:
    """Return the hash of each n-gram: (characters - n + 1,) uint64."""
    count = max(0, len(codes) - n + 1)
    hashes = np.zeros(count, np.uint64)
    for shift in range(n):
        hashes *= BASE
        hashes += codes[shift : shift + count]
    return hashes


def _filter_places(hashes: NDArray[np.uint64]) -> NDArray[np.uint64]:
    # The high bits of a product depend on all bits of the hash.
    places: NDArray[np.uint64] = (hashes * BASE) >> np.uint64(64 - FILTER_BITS)
    return places


def shared_grams(index: GramIndex, text: str, block: int = BLOCK) -> Iterator[tuple[Positions, Positions]]:
    """Yield (numbers of grams, their places in the normalised `text`), in the order of the places, block by block."""
    codes = codes_of(text)
    for begin in range(0, max(0, len(codes) - index.n + 1), block):
        window = codes[begin : begin + block + index.n - 1]
        hashes = gram_hashes(window, index.n)
        candidates = np.flatnonzero(index.is_wanted[_filter_places(hashes)])
        grams, places = _exact(index, window, hashes, candidates)
        if len(grams):
            yield grams, places + begin


def _exact(
    index: GramIndex, window: Codes, hashes: NDArray[np.uint64], places: Positions
) -> tuple[Positions, Positions]:
    """Return the grams of the index that really are at `places`, and these places, rising."""
    numbers = np.searchsorted(index.hashes, hashes[places])
    matches: list[tuple[Positions, Positions]] = []
    while len(places):
        alive = numbers < len(index.hashes)
        alive[alive] = index.hashes[numbers[alive]] == hashes[places[alive]]
        places, numbers = places[alive], numbers[alive]
        equal = np.ones(len(places), bool)
        for shift in range(index.n):
            equal &= window[places + shift] == index.codes[index.first[numbers] + shift]
        matches.append((numbers[equal], places[equal]))
        places, numbers = places[~equal], numbers[~equal] + 1  # another gram of the same hash
    grams, kept = (
        (np.concatenate([np.empty(0, np.int64), *parts]) for parts in zip(*matches, strict=True))
        if matches
        else (
            np.empty(0, np.int64),
            np.empty(0, np.int64),
        )
    )
    order = np.argsort(kept, kind="stable")
    return grams[order], kept[order]
