"""BM25: by hand, against bm25s, and the same whatever the blocks."""

import math
import random

import numpy as np
import pytest

from anaume.evals.lexical import bm25, units
from anaume.evals.lexical.units import units_of


def texts(number: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return [
        "".join(draw.choices("あいうえ漢字の海山", weights=range(1, 10), k=draw.randint(1, 40))) for _ in range(number)
    ]


def test_known_by_hand() -> None:
    # Lengths 4, 2, 1 and 1: 2 on average. う is in two texts, あ in one, in which it is twice.
    corpus = units_of(["ああいう", "うえ", "お", "か"], "characters")
    scores = bm25.scores(bm25.index(corpus, k1=1.5, b=0.5), units_of(["あう", "ああ", "き"], "characters"), slice(0, 4))
    rare, common = math.log(1 + 3.5 / 1.5), math.log(1 + 2.5 / 2.5)
    a = rare * 2 / (2 + 1.5 * (0.5 + 0.5 * 4 / 2))
    u = [common / (1 + 1.5 * (0.5 + 0.5 * length / 2)) for length in (4, 2)]
    expected = np.array([[a + u[0], u[1], 0, 0], [2 * a, 0, 0, 0], [0, 0, 0, 0]])
    np.testing.assert_allclose(scores, expected, atol=1e-12)


@pytest.mark.parametrize("unit", ["characters", "bigrams"])
def test_scores_are_those_of_bm25s(unit: units.Unit) -> None:
    corpus, queries = texts(80, 1), texts(20, 2)
    units, query_units = units_of(corpus, unit), units_of(queries, unit)
    bm25s = pytest.importorskip("bm25s")
    library = bm25s.BM25(method="lucene", k1=bm25.K1, b=bm25.B, dtype="float64")
    library.index([[str(number) for number in row] for row in units], show_progress=False)
    expected = [library.get_scores([str(number) for number in row]) for row in query_units]
    scores = bm25.scores(bm25.index(units), query_units, slice(0, 80))
    np.testing.assert_allclose(scores, expected, rtol=1e-6)
    assert np.ptp(scores) > 1


def test_blocks_do_not_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, queries = units_of(texts(50, 3), "bigrams"), units_of(texts(30, 4), "bigrams")
    whole = bm25.scores(bm25.index(corpus), queries, slice(0, 50))
    monkeypatch.setattr(bm25, "TEXTS_AT_ONCE", 7)
    index = bm25.index(corpus)
    for start in range(0, 30, 11):
        for offset in range(0, 50, 13):
            block = bm25.scores(index, queries[start : start + 11], slice(offset, min(offset + 13, 50)))
            assert (block == whole[start : start + 11, offset : offset + 13]).all()


def test_the_same_units_score_the_same() -> None:
    corpus = units_of(["海の山の海", "の海山海の", "山", "海の山の海"], "characters")
    (row,) = bm25.scores(bm25.index(corpus), units_of(["海山の"], "characters"), slice(0, 4))
    assert row[0] == row[1] == row[3] > row[2]
