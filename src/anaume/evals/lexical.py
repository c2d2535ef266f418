"""Similarity of texts without a model: edit distance and Jaccard over characters, n-grams or tokens.

A text becomes an array of integers, one a unit; two lists of such arrays become a matrix of similarities in
[0, 1]. The paper (Table 4) does not say which units its baselines count; every record of ours does.
"""

from array import array
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein
from scipy.sparse import csr_matrix

from anaume.errors import UserError

# Quoted: arrays have no [] before Python 3.12.
Units: TypeAlias = "array[int]"
Unit = Literal["characters", "bigrams", "trigrams", "tokens"]
Similarities = NDArray[np.float64]

GRAM = {"characters": 1, "bigrams": 2, "trigrams": 3}
CODE_POINT_BITS = 21  # Unicode ends at 0x10FFFF, so that three characters fit in 63 bits: n-grams need no vocabulary


def units_of(texts: Sequence[str], unit: Unit, tokenizer: Any = None) -> list[Units]:
    """Split each text into its units, as integers that are equal where the units are.

    `bigrams` and `trigrams` overlap and are of characters; a text shorter than one n-gram is one unit.
    `tokens` are the ids of `tokenizer`, without special tokens.

    Raises:
        UserError: an unknown unit, or `tokens` without a tokenizer.
    """
    if unit == "tokens":
        if tokenizer is None:
            raise UserError("unit 'tokens' needs a tokenizer")
        encoded = tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return [array("q", ids) for ids in encoded]
    if unit not in GRAM:
        raise UserError(f"unit {unit!r}: expected one of {', '.join(get_args(Unit))}")
    return [_grams(text, GRAM[unit]) for text in texts]


def _grams(text: str, n: int) -> Units:
    n = min(n, len(text))
    points = array("q", map(ord, text))
    grams = points[: len(points) - n + 1]
    for shift in range(1, n):
        following = points[shift : len(points) - n + 1 + shift]
        grams = array("q", (a << CODE_POINT_BITS | b for a, b in zip(grams, following, strict=True)))
    return grams


def edit_similarities(queries: Sequence[Units], corpus: Sequence[Units]) -> Similarities:
    """Return 1 − Levenshtein distance / length of the longer text: (queries, corpus), on all cores."""
    return process.cdist(queries, corpus, scorer=Levenshtein.normalized_similarity, dtype=np.float64, workers=-1)


def jaccard_similarities(queries: Sequence[Units], corpus: Sequence[Units]) -> Similarities:
    """Return shared distinct units / all distinct units: (queries, corpus); 0 where neither has a unit."""
    query_sets, corpus_sets = [_distinct(row) for row in queries], [_distinct(row) for row in corpus]
    known = np.unique(np.concatenate(query_sets)) if query_sets else np.empty(0, np.int64)
    shared = (_incidence(query_sets, known) @ _incidence(corpus_sets, known).T).toarray()
    sizes = [np.array([len(row) for row in rows], dtype=np.float64) for rows in (query_sets, corpus_sets)]
    union = sizes[0][:, None] + sizes[1][None, :] - shared
    similarities: Similarities = shared / np.maximum(union, 1)
    return similarities


def _distinct(units: Units) -> NDArray[np.int64]:
    return np.unique(np.frombuffer(units, dtype=np.int64)) if units else np.empty(0, np.int64)


def _places(row: NDArray[np.int64], known: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where in the sorted `known` the units of `row` are, leaving out those that it lacks."""
    places = np.searchsorted(known, row)
    inside = places < len(known)
    places, row = places[inside], row[inside]
    found: NDArray[np.int64] = places[known[places] == row]
    return found


def _incidence(rows: Sequence[NDArray[np.int64]], known: NDArray[np.int64]) -> csr_matrix:
    """Return (rows, known) with 1 where the row has the unit; units outside `known` can't be shared."""
    columns = [_places(row, known) for row in rows]
    ends = np.concatenate([[0], np.cumsum([len(c) for c in columns])])
    flat = np.concatenate(columns) if columns else np.empty(0, np.int64)
    return csr_matrix((np.ones(len(flat)), flat, ends), shape=(len(rows), len(known)))
