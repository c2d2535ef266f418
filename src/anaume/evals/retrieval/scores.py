"""Ranks and grades of the positives of each query → nDCG@10, Recall@k and MRR@10, as trec_eval defines them.

Scores are means over the queries. The rule: a query without positives is not scored, because its nDCG and recall would
be 0 / 0.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

RECALL_AT = (1, 10, 100)
CUTOFF = 10
DEPTH = max(*RECALL_AT, CUTOFF)


def scores_of(ranks: Sequence[NDArray[np.int64]], grades: Sequence[Sequence[int]]) -> dict[str, float]:
    """Return the means over the queries; `ranks[i]` and `grades[i]` belong to the positives of query i.

    `recall_at_k`  fraction of a query's positives with a rank up to k, whatever their grades
    `mrr_at_10`    1 / rank of the best positive, 0 if that rank is above 10
    `ndcg_at_10`   sum of grade / log2(1 + rank) up to rank 10, divided by its value for the best order
    """
    recalls = {f"recall_at_{k}": float(np.mean([np.mean(of_query <= k) for of_query in ranks])) for k in RECALL_AT}
    first = np.array([of_query.min() for of_query in ranks])
    gains = [_ndcg(of_query, np.asarray(of_grades)) for of_query, of_grades in zip(ranks, grades, strict=True)]
    return {
        "ndcg_at_10": float(np.mean(gains)),
        **recalls,
        "mrr_at_10": float(np.mean(np.where(first <= CUTOFF, 1 / first, 0))),
    }


def _ndcg(ranks: NDArray[np.int64], grades: NDArray[np.int64]) -> float:
    gain = np.sum(np.where(ranks <= CUTOFF, grades / np.log2(1 + ranks), 0))
    best = np.sort(grades)[::-1][:CUTOFF]
    return float(gain / np.sum(best / np.log2(2 + np.arange(len(best)))))
