"""Similarities in blocks of documents → the rank of every positive, and the best wrong documents.

The rule: of each query only the similarities of its positives and the `depth` highest others are kept, so memory does
not grow with the corpus. Ties are pessimistic: of documents as similar as each other, the lowest grade ranks first, so
a model that gives all texts one embedding finds nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anaume.evals.retrieval.collection import Positive

QUERIES_AT_ONCE, DOCUMENTS_AT_ONCE = 2_048, 4_096  # 64 MB of float64 similarities a block
# Two similarities within this distance are a tie. In float64, equal vectors agree to 1e-15 in every block, and sums of
# BM25's weights to 1e-13.
TOLERANCE = 1e-9
TIES = f"documents as similar as each other, within {TOLERANCE:g}, rank in the order of their grades, the lowest first"


@dataclass(frozen=True)
class Block:
    """A part of the corpus, and the function that compares it with a slice of the queries.

    `similarities` returns (queries, documents) float64 as a new tensor.
    """

    documents: slice
    similarities: Callable[[slice], Tensor]


@dataclass(frozen=True)
class Nearest:
    """The similarities that decide the ranks.

    `positives`  (positives of all queries) float64, query after query
    `wrong`      (queries, depth) float64, from the highest; −inf where there are fewer documents
    `numbers`    (queries, depth) int64, the indices of these documents; −1 where there are fewer
    """

    positives: Tensor
    wrong: Tensor
    numbers: Tensor


def slices(start: int, stop: int, size: int) -> Iterator[slice]:
    """Cut a range into slices of at most `size`."""
    for begin in range(start, stop, size):
        yield slice(begin, min(begin + size, stop))


def nearest(blocks: Iterable[Block], positives: Sequence[Sequence[Positive]], depth: int) -> Nearest:
    """Keep the similarities of the positives and the `depth` highest others of each query."""
    total = len(positives)
    rows = torch.tensor([query for query, of_query in enumerate(positives) for _ in of_query])
    columns = torch.tensor([positive.document for of_query in positives for positive in of_query])
    right = torch.full((len(rows),), -torch.inf, dtype=torch.float64)
    wrong = torch.full((total, depth), -torch.inf, dtype=torch.float64)
    numbers = torch.full((total, depth), -1)
    for block in blocks:
        within = (columns >= block.documents.start) & (columns < block.documents.stop)
        for queries in slices(0, total, QUERIES_AT_ONCE):
            similarities = block.similarities(queries)
            entries = (within & (rows >= queries.start) & (rows < queries.stop)).nonzero().ravel()
            places = rows[entries] - queries.start, columns[entries] - block.documents.start
            right[entries] = similarities[places]
            similarities[places] = -torch.inf
            best = similarities.topk(min(depth, similarities.shape[1]), dim=1)
            values = torch.cat([wrong[queries], best.values], dim=1)
            kept = values.topk(depth, dim=1)
            candidates = torch.cat([numbers[queries], best.indices + block.documents.start], dim=1)
            wrong[queries], numbers[queries] = kept.values, candidates.gather(1, kept.indices)
    numbers[wrong == -torch.inf] = -1  # a positive, or no document
    return Nearest(right, wrong, numbers)


def ranks(neighbours: Nearest, positives: Sequence[Sequence[Positive]]) -> list[NDArray[np.int64]]:
    """Return the rank of each positive of each query, from 1; above the depth of the search it is a lower bound."""
    similarities, wrong = neighbours.positives.numpy(), neighbours.wrong.numpy()
    ends = np.cumsum([len(of_query) for of_query in positives])
    return [
        _ranks(
            similarities[end - len(of_query) : end], np.array([positive.grade for positive in of_query]), wrong[query]
        )
        for query, (of_query, end) in enumerate(zip(positives, ends, strict=True))
    ]


def _ranks(positives: NDArray[np.float64], grades: NDArray[np.int64], wrong: NDArray[np.float64]) -> NDArray[np.int64]:
    order = np.argsort(-positives)  # NaN is last
    with np.errstate(invalid="ignore"):  # −inf minus −inf: both are absent
        steps = -np.diff(positives[order]) > TOLERANCE
    order = order[np.lexsort((grades[order], np.cumsum([0, *steps])))]
    # "Not less" instead of "as similar or more": NaN is neither, and must not rank a positive first.
    before = np.sum(~(wrong[None] < positives[order, None] - TOLERANCE), axis=1)
    result = np.empty(len(positives), np.int64)
    result[order] = 1 + np.arange(len(positives)) + np.maximum.accumulate(before)
    return result
