"""Ranks in blocks: against plain loops, and ties, NaN and absent documents by hand."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from sentence_transformers.util import semantic_search
from torch import Tensor

from anaume.evals.retrieval import ranking
from anaume.evals.retrieval.collection import ABSENT, Positive
from anaume.evals.retrieval.ranking import Block, nearest, ranks, slices


def blocks_of(similarities: Tensor, size: int) -> Iterator[Block]:
    for part in slices(0, similarities.shape[1], size):
        yield Block(part, lambda rows, part=part: similarities[rows, part].clone())  # type: ignore[misc]


def ranked(
    similarities: Tensor | list[list[float]], answers: Sequence[Sequence[Positive]], depth: int = 10
) -> list[int]:
    matrix = torch.as_tensor(similarities, dtype=torch.float64)
    found = ranks(nearest(blocks_of(matrix, 4_096), answers, depth), answers)
    return [int(rank) for of_query in found for rank in of_query]


def test_known_by_hand() -> None:
    row = [0.9, 0.8, 0.8, 0.7, 0.1]
    answers = [[Positive(2, 1), Positive(3, 2)]]
    assert ranked([row], answers) == [3, 4]  # 1 is as similar as 2, and wrong
    assert ranked([row], [[Positive(1, 3), Positive(2, 1), Positive(3, 2)]]) == [
        3,
        2,
        4,
    ]  # of a tie the lower grade is first
    assert ranked([row], [[Positive(ABSENT, 1), Positive(0, 1)]], depth=3) == [5, 1]
    assert ranked([[0.5, 0.5 + 1e-12]], [[Positive(1, 1)]]) == [2]  # within the tolerance


def test_nan_finds_nothing() -> None:
    assert ranked([[torch.nan] * 20], [[Positive(3, 1)]], depth=10) == [11]
    assert ranked([[torch.nan, 0.5]], [[Positive(0, 1)]], depth=10) == [11]


def test_fewer_documents_than_the_depth() -> None:
    found = nearest(blocks_of(torch.tensor([[0.5, 0.25, 0.75]], dtype=torch.float64), 2), [[Positive(1, 1)]], 10)
    assert found.numbers[0].tolist() == [2, 0, *[-1] * 8]
    assert found.wrong[0, :2].tolist() == [0.75, 0.5]


def test_blocks_give_the_ranks_of_plain_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    # Rounded, so that ties are many.
    similarities = torch.from_numpy(random.random((40, 60)).round(2))
    grades = random.choice(4, p=[0.9, 0.05, 0.03, 0.02], size=(40, 60))
    grades[:, 0] = 1
    answers = [[Positive(int(d), int(row[d])) for d in np.flatnonzero(row)] for row in grades]
    expected = []
    for query in range(40):
        order = sorted(range(60), key=lambda d, q=query: (-similarities[q, d], grades[q, d]))  # type: ignore[misc]
        expected.append({(int(grades[query, d]), rank) for rank, d in enumerate(order, 1) if grades[query, d]})
    for queries_at_once, size in ((2_048, 4_096), (7, 13), (1, 1)):
        monkeypatch.setattr(ranking, "QUERIES_AT_ONCE", queries_at_once)
        found = ranks(nearest(blocks_of(similarities, size), answers, 60), answers)
        pairs = [{(a.grade, int(r)) for a, r in zip(*both, strict=True)} for both in zip(answers, found, strict=True)]
        assert pairs == expected


def test_the_best_wrong_documents_are_those_of_semantic_search(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(4)
    queries, documents = torch.randn(50, 24, generator=generator), torch.randn(300, 24, generator=generator)
    monkeypatch.setattr(ranking, "QUERIES_AT_ONCE", 17)
    similarities = torch.nn.functional.cosine_similarity(queries[:, None].double(), documents[None].double(), dim=2)
    answers = [[Positive(i, 1)] for i in range(50)]
    found = nearest(blocks_of(similarities, 37), answers, 10)
    for query, hits in enumerate(semantic_search(queries, documents, top_k=11)):
        wrong = [hit["corpus_id"] for hit in hits if hit["corpus_id"] != query][:10]
        assert found.numbers[query].tolist() == wrong
