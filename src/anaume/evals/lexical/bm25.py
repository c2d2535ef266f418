"""BM25 over a corpus in blocks (Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond").

Units of the corpus (units.py) → a sparse matrix of weights, computed once; units of queries and a slice of the corpus →
their scores. The rule: statistics are those of the whole corpus, so no score depends on how the corpus is sliced.

No library fits: bm25s and rank-bm25 give the ten best entries, or all scores of one query at a time. Ranks
need blocks of scores in float64 in which entries of equal units score exactly alike: one sparse product.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, vstack

from anaume.evals.lexical.units import TEXTS_AT_ONCE, Similarities, Units, counts_of, vocabulary_of

K1, B = 1.2, 0.75  # defaults of Lucene
FORMULA = (
    "sum over the query's units, repeated ones too, of ln(1 + (N - n + 0.5) / (n + 0.5)) f / (f + k1 (1 - b + b l / L))"
    " for a unit that is f times in a text of l units, L on average, and in n of N texts"
)


@dataclass(frozen=True)
class Index:
    """A weighted corpus.

    `vocabulary`  (units,) int64, sorted
    `weights`     (texts, units) float64: the amount that one occurrence of the unit in a query adds to the text's score
    """

    vocabulary: NDArray[np.int64]
    weights: csr_matrix


def index(corpus: Sequence[Units], *, k1: float = K1, b: float = B) -> Index:
    """Weight every unit of every text by `FORMULA`, which is Lucene's: its logarithm never falls below zero.

    The index takes 12 bytes for each distinct unit of each text: about 2 GB for a million passages of 200 characters,
    and twice that during the computation.
    """
    parts = [corpus[start : start + TEXTS_AT_ONCE] for start in range(0, len(corpus), TEXTS_AT_ONCE)]
    vocabulary = np.unique(np.concatenate([vocabulary_of(part) for part in parts]))
    weights = vstack([counts_of(part, vocabulary) for part in parts], format="csr")
    texts_with = np.bincount(weights.indices, minlength=len(vocabulary))
    idf = np.log1p((len(corpus) - texts_with + 0.5) / (texts_with + 0.5))
    lengths = np.array([len(units) for units in corpus], dtype=np.float64)
    norms = k1 * (1 - b + b * lengths / max(lengths.mean(), 1))
    weights.data /= weights.data + np.repeat(norms, np.diff(weights.indptr))
    return Index(vocabulary, weights @ diags(idf, format="csr"))


def scores(index: Index, queries: Sequence[Units], texts: slice) -> Similarities:
    """Return the score of each text of a slice of the corpus for each query: (queries, texts)."""
    block: Similarities = (counts_of(queries, index.vocabulary) @ index.weights[texts].T).toarray()
    return block
