"""Similarity of texts without a model: edit distance and Jaccard index over characters, n-grams, words or tokens.

A text becomes an array of integers, one for each unit; two lists of such arrays become a matrix of similarities. The
rule: integers are equal exactly where units are. The paper (Table 4) does not say which units its baselines count; our
records do. BM25, which needs the whole corpus first, is in bm25.py.
"""

import re
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from rapidfuzz import process
from rapidfuzz.distance import Levenshtein
from scipy.sparse import csr_matrix

from anaume.batches.words import mecab
from anaume.errors import UserError

# Quoted: arrays have no [] before Python 3.12.
Units: TypeAlias = "array[int]"
Unit = Literal["characters", "bigrams", "trigrams", "words", "spaces", "mecab", "tokens"]
Similarities = NDArray[np.float64]

GRAM = {"characters": 1, "bigrams": 2, "trigrams": 3}
TEXTS_AT_ONCE = 16_384  # the tokenizer's results for a million texts would take much more memory than the ids
WORD = re.compile(r"\w+")
CODE_POINT_BITS = 21  # Unicode ends at 0x10FFFF, so three characters fit in 63 bits, and n-grams need no vocabulary


def require_unit(unit: str, place: str) -> None:
    """Check the name of a unit, and that MeCab is there if it is needed.

    Raises:
        UserError: an unknown unit, or MeCab is not installed.
    """
    if unit not in get_args(Unit):
        raise UserError(f"{place}: unknown; expected {', '.join(get_args(Unit))}")
    if unit == "mecab":
        mecab(place)


def units_of(texts: Sequence[str], unit: Unit, tokenizer: Any = None) -> list[Units]:
    """Return the units of each text as integers, which can be compared with those of the same call.

    `bigrams` and `trigrams` are of characters and overlap; a text shorter than one n-gram is one unit. `words` are runs
    of letters and digits, for languages with spaces; `mecab` are the words of MeCab with its small UniDic, for
    Japanese. Both are in lower case and without punctuation. `spaces` are what stands between white space, as it is:
    in Japanese mostly whole paragraphs. `tokens` are the ids of `tokenizer`, without special
    tokens.

    Raises:
        UserError: an unknown unit, `tokens` without a tokenizer, `mecab` without MeCab.
    """
    require_unit(unit, f"unit {unit!r}")
    if unit == "tokens":
        if tokenizer is None:
            raise UserError("unit 'tokens': no tokenizer; expected one")
        blocks = (list(texts[start : start + TEXTS_AT_ONCE]) for start in range(0, len(texts), TEXTS_AT_ONCE))
        encoded = (tokenizer(block, add_special_tokens=False, verbose=False)["input_ids"] for block in blocks)
        return [array("q", ids) for rows in encoded for ids in rows]
    if unit in WORDS:
        numbers: dict[str, int] = {}
        return [array("q", (numbers.setdefault(word, len(numbers)) for word in WORDS[unit](t))) for t in texts]
    return [_grams(text, GRAM[unit]) for text in texts]


def _mecab_words(text: str) -> list[str]:
    """The words of a text that hold a letter or a digit. MeCab stops reading at NUL."""
    nodes = mecab("unit 'mecab'").parseToNodeList(text.lower().replace("\0", " "))
    return [node.surface for node in nodes if WORD.search(node.surface)]


# Unit → the words of a text.
WORDS: dict[str, Callable[[str], list[str]]] = {
    "words": lambda text: WORD.findall(text.lower()),
    "mecab": _mecab_words,
    "spaces": str.split,
}


def _grams(text: str, n: int) -> Units:
    n = min(n, len(text))
    points = array("q", map(ord, text))
    grams = points[: len(points) - n + 1]
    for shift in range(1, n):
        following = points[shift : len(points) - n + 1 + shift]
        grams = array("q", (a << CODE_POINT_BITS | b for a, b in zip(grams, following, strict=True)))
    return grams


def edit_similarities(queries: Sequence[Units], corpus: Sequence[Units]) -> Similarities:
    """Return 1 − Levenshtein distance / length of the longer text: (queries, corpus). Uses all cores."""
    return process.cdist(queries, corpus, scorer=Levenshtein.normalized_similarity, dtype=np.float64, workers=-1)


def raw_edit_similarities(queries: Sequence[Units], corpus: Sequence[Units]) -> Similarities:
    """Return −Levenshtein distance, which prefers short texts: (queries, corpus). Uses all cores."""
    distances = process.cdist(queries, corpus, scorer=Levenshtein.distance, dtype=np.float64, workers=-1)
    similarities: Similarities = -distances
    return similarities


def jaccard_similarities(queries: Sequence[Units], corpus: Sequence[Units]) -> Similarities:
    """Return shared distinct units / all distinct units: (queries, corpus); 0 if both texts are empty."""
    vocabulary = vocabulary_of([*queries, *corpus])
    left, right = counts_of(queries, vocabulary) > 0, counts_of(corpus, vocabulary) > 0
    shared = (left.astype(np.float64) @ right.astype(np.float64).T).toarray()
    union = left.getnnz(axis=1)[:, None] + right.getnnz(axis=1)[None, :] - shared
    similarities: Similarities = shared / np.maximum(union, 1)
    return similarities


def vocabulary_of(rows: Sequence[Units]) -> NDArray[np.int64]:
    """Return the distinct units of `rows`, sorted."""
    return np.unique(_flat(rows))


def counts_of(rows: Sequence[Units], vocabulary: NDArray[np.int64]) -> csr_matrix:
    """Return the count of each unit of the vocabulary in each row: (rows, vocabulary) float64, sparse."""
    flat = _flat(rows)
    texts = np.repeat(np.arange(len(rows), dtype=np.int32), [len(row) for row in rows])
    columns = np.searchsorted(vocabulary, flat)
    known = columns < len(vocabulary)
    known[known] = vocabulary[columns[known]] == flat[known]
    places = texts[known], columns[known].astype(np.int32)
    return csr_matrix((np.ones(len(places[0])), places), shape=(len(rows), len(vocabulary)))


def _flat(rows: Sequence[Units]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *(np.frombuffer(row, np.int64) for row in rows if row)])
