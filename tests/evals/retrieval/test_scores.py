"""nDCG, recall and reciprocal rank: by hand, and against trec_eval on random graded data with ties."""

import numpy as np
import pytest
import torch

from anaume.evals.retrieval.collection import ABSENT, Positive
from anaume.evals.retrieval.ranking import Block, nearest, ranks
from anaume.evals.retrieval.scores import DEPTH, scores_of

pytrec_eval = pytest.importorskip("pytrec_eval")

MEASURES = {
    "ndcg_at_10": "ndcg_cut_10",
    "recall_at_1": "recall_1",
    "recall_at_10": "recall_10",
    "recall_at_100": "recall_100",
    "mrr_at_10": "recip_rank_cut_10",
}


def test_known_by_hand() -> None:
    scores = scores_of([np.array([2, 11]), np.array([1])], [[1, 3], [2]])
    best = 3 + 1 / np.log2(3)
    assert scores == pytest.approx(
        {
            "ndcg_at_10": (1 / np.log2(3) / best + 1) / 2,
            "recall_at_1": 0.5,
            "recall_at_10": 0.75,
            "recall_at_100": 1.0,
            "mrr_at_10": 0.75,
        }
    )


@pytest.mark.parametrize("documents", [5, 40, 300])  # fewer than k of each measure, and more
@pytest.mark.parametrize("decimals", [1, 9])  # many ties, and none
def test_scores_are_those_of_trec_eval(documents: int, decimals: int) -> None:
    """trec_eval ranks ties by id, the last one first, so the ids are chosen query by query."""
    random = np.random.default_rng(documents)
    similarities = random.random((30, documents)).round(decimals)
    grades = random.choice(4, p=[0.7, 0.15, 0.1, 0.05], size=(30, documents))
    grades[:, 0] = 2
    similarities[:10, 0] += 0.7
    answers = [[Positive(int(d), int(row[d])) for d in np.flatnonzero(row)] for row in grades]
    answers[0].append(Positive(ABSENT, 3))
    matrix = torch.from_numpy(similarities)
    found = nearest([Block(slice(0, documents), lambda rows: matrix[rows].clone())], answers, DEPTH)
    scores = scores_of(ranks(found, answers), [[answer.grade for answer in of_query] for of_query in answers])
    rows = []
    for query in range(30):
        names = [f"{3 - grades[query, d]} {d:03}" for d in range(documents)]  # the lowest grade has the last name
        judged = {names[d]: int(grades[query, d]) for d in range(documents)} | ({"absent": 3} if query == 0 else {})
        run = dict(zip(names, similarities[query].tolist(), strict=True))
        first_ten = dict(sorted(run.items(), key=lambda item: (item[1], item[0]), reverse=True)[:10])
        measures = {"ndcg_cut.10", "recall.1,10,100", "recip_rank"}
        (row,) = pytrec_eval.RelevanceEvaluator({"q": judged}, measures).evaluate({"q": run}).values()
        (cut,) = pytrec_eval.RelevanceEvaluator({"q": judged}, measures).evaluate({"q": first_ten}).values()
        rows.append(row | {"recip_rank_cut_10": cut["recip_rank"]})
    expected = {ours: np.mean([row[theirs] for row in rows]) for ours, theirs in MEASURES.items()}
    assert scores == pytest.approx(expected, abs=1e-6)
    assert 0 < scores["recall_at_1"] < scores["ndcg_at_10"] < 1
