"""Alignment, uniformity and the two distributions: by hand, and against scipy, scikit-learn, sentence-transformers."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist
from scipy.stats import ks_2samp
from sentence_transformers import SentenceTransformer
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.metrics.pairwise import cosine_similarity

from anaume.encoder.load import load_encoder
from anaume.errors import UserError
from anaume.evals.geometry import auc, different_pairs, evaluate, histogram_rows, isotropy, overlap, uniformity_of_all
from anaume.evals.inputs.pairs import Pair, read_pairs

from ..support.models import sentences
from .retrieval.test_evaluate import at, fake_encoder


def test_known_by_hand() -> None:
    # 0° with 60°, and 90° with 90°: squared distances 1 and 0. Across: 90°, 90°, 30°, 30°.
    vectors = torch.tensor([at(0), at(90), at(60), at(90)]) * torch.tensor([[1.0], [4.0], [0.5], [2.0]])
    result = evaluate(fake_encoder(vectors), [Pair("0", "2"), Pair("1", "3")], seed=5)
    uniformity = math.log((2 * math.exp(-4) + 2 * math.exp(-2 * (2 - math.sqrt(3)))) / 4)
    expected = {
        "alignment": 0.5,
        "uniformity": uniformity,  # 2,000 are wanted, there are 4
        "uniformity_all_pairs": uniformity,
        "overlap": 0.5,  # half of the positive pairs lie above all others, none below
        "auc": 0.75,  # 60° is closer than two of the four, 0° than all
        "positive_mean": 0.75,
        "random_mean": math.sqrt(3) / 4,
    }
    assert {name: result.metrics[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert set(result.metrics) - set(expected) == set(isotropy(vectors))
    assert (result.model, result.task, result.n, result.seed) == ("fake", "geometry", 2, 5)
    assert result.settings["random_pairs_found"] == 4
    assert result.settings["texts"] == "texts of different pairs"
    assert len(result.details) == 50
    rows = {round(row["low"], 2): row for row in result.details if row["positive"] or row["random"]}
    assert set(rows) == {0.0, 0.5, 0.86, 0.98}
    assert (rows[0.5]["positive"], rows[0.98]["positive"]) == (0.5, 0.5)
    assert (rows[0.0]["random"], rows[0.86]["random"]) == (0.5, 0.5)


def test_random_pairs_of_given_texts() -> None:
    # Texts 2 … 5 at 0°, 0°, 180°, 180°: whatever two pairs are drawn of them, all pairs are the same six.
    vectors = torch.tensor([at(10), at(10), at(0), at(0), at(180), at(180)])
    pairs = [Pair("0", "1"), Pair("1", "0")]
    result = evaluate(fake_encoder(vectors), pairs, (str(i) for i in range(2, 6)), origin="glob")
    everywhere = math.log((2 + 4 * math.exp(-8)) / 6)
    assert result.metrics["uniformity_all_pairs"] == pytest.approx(everywhere, abs=1e-6)
    assert result.metrics["uniformity"] in (pytest.approx(0, abs=1e-6), pytest.approx(-8, abs=1e-6))
    assert result.metrics["alignment"] == pytest.approx(0, abs=1e-12)
    assert (result.settings["texts"], result.settings["random_pairs_found"]) == ("glob", 2)
    seeds = (evaluate(fake_encoder(vectors), pairs, map(str, range(2, 6)), seed=seed) for seed in range(9))
    assert {round(result.metrics["random_mean"], 6) for result in seeds} == {1.0, -1.0}


@pytest.mark.parametrize("pairs", [2, 3, 6])
def test_pairs_of_different_pairs(pairs: int) -> None:
    total = 2 * pairs * (pairs - 1)
    first, second = different_pairs(np.random.default_rng(0), pairs, 10**6)
    drawn = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(drawn) == len(first) == total
    assert drawn == {frozenset((i, j)) for i in range(2 * pairs) for j in range(i) if i - j != pairs}
    assert len(different_pairs(np.random.default_rng(0), pairs, 3)[0]) == 3


def test_against_scipy_and_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(70, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = np.log(np.mean(np.exp(-2 * pdist(vectors, "sqeuclidean"))))
    for rows in (1_024, 16, 1):
        monkeypatch.setattr("anaume.evals.geometry.ROWS_AT_ONCE", rows)
        assert uniformity_of_all(torch.from_numpy(vectors), torch.arange(70)) == pytest.approx(expected, rel=1e-12)
    for decimals in (1, 8):  # with many ties, and with none
        positive, other = (random.normal(mean, 0.3, size).round(decimals) for mean, size in ((0.6, 80), (0.2, 300)))
        labels = np.repeat([1, 0], [80, 300])
        assert auc(positive, other) == pytest.approx(roc_auc_score(labels, np.concatenate([positive, other])))


def test_isotropy_of_a_cross_and_of_a_cone() -> None:
    """Four vectors along the axes cancel out; four on a cone share its axis and nothing else."""
    cross = torch.tensor([at(0), at(90), at(180), at(270)]).double()
    measured = isotropy(cross)
    assert measured == pytest.approx(
        {
            "mean_cosine": -1 / 3,
            "mean_cosine_centred": -1 / 3,
            "first_component": 0.5,
            "first_component_uncentred": 0.5,
        }
    )
    cone = torch.cat([0.6 * cross, torch.full((4, 1), 0.8, dtype=torch.float64)], dim=1)
    assert isotropy(cone) == pytest.approx(
        {
            "mean_cosine": 0.64 - 0.36 / 3,
            "mean_cosine_centred": -1 / 3,
            "first_component": 0.5,
            "first_component_uncentred": 0.64,
        }
    )


def test_isotropy_against_scikit_learn() -> None:
    vectors = torch.nn.functional.normalize(
        torch.randn(60, 9, generator=torch.Generator().manual_seed(0)) + 0.5
    ).double()
    assert isotropy(vectors)["first_component"] == pytest.approx(PCA().fit(vectors).explained_variance_ratio_[0])
    cosines = cosine_similarity(vectors)[~np.eye(60, dtype=bool)]
    assert isotropy(vectors)["mean_cosine"] == pytest.approx(cosines.mean())


def test_overlap_against_scipy_whatever_the_range() -> None:
    """Moving and squeezing all cosines, as an anisotropic model does, changes nothing."""
    random = np.random.default_rng(3)
    positive, other = random.normal(0.5, 0.2, 90), random.normal(0.2, 0.2, 400)
    expected = 1 - ks_2samp(positive, other).statistic
    for scale, shift in ((1, 0), (0.01, 0.95)):
        assert overlap(scale * positive + shift, scale * other + shift) == pytest.approx(expected)
    assert overlap(positive, other) == overlap(other, positive)


def test_a_histogram_covers_the_range_of_the_cosines() -> None:
    rows = histogram_rows(np.array([0.5, 0.9, 1.0]), np.array([0.5, 0.505, 0.6, 0.6]))
    assert (len(rows), rows[0]["low"], rows[-1]["high"]) == (50, 0.5, 1.0)
    assert (rows[0]["positive"], rows[0]["random"], rows[-1]["positive"]) == (1 / 3, 1 / 2, 1 / 3)
    assert sum(row["positive"] for row in rows) == pytest.approx(1)


def test_a_collapsed_model_overlaps_wholly() -> None:
    vectors = torch.tensor([at(33)] * 4) * torch.tensor([[1.0], [0.3], [7.0], [1.1]])
    same = evaluate(fake_encoder(vectors), [Pair("0", "1"), Pair("2", "3")])
    assert same.metrics["overlap"] == 1.0
    assert same.metrics["auc"] == 0.5
    assert sum(row["random"] for row in same.details) == 1


def test_a_real_model_against_sentence_transformers(modernbert_folder: Path) -> None:
    texts = sentences(40, seed=2)
    pairs = [Pair(query, positive) for query, positive in zip(texts[:20], texts[20:], strict=True)]
    embedded = SentenceTransformer(str(modernbert_folder), device="cpu").encode(texts, normalize_embeddings=True)
    encoder = load_encoder(str(modernbert_folder), masked_lm=False)
    result = evaluate(encoder, pairs, sentences(100, seed=3), random_pairs=30, seed=4)
    cosines = (embedded[:20] * embedded[20:]).sum(1)
    assert result.metrics["positive_mean"] == pytest.approx(cosines.mean(), abs=1e-5)
    assert result.metrics["alignment"] == pytest.approx((2 - 2 * cosines).mean(), abs=1e-5)
    assert result.settings["random_pairs_found"] == 30
    assert result == evaluate(encoder, pairs, sentences(100, seed=3), random_pairs=30, seed=4)
    assert result.metrics["random_mean"] != evaluate(encoder, pairs, sentences(100, seed=3)).metrics["random_mean"]


def test_truncation_is_counted_and_mistakes_are_one_line(modernbert_folder: Path) -> None:
    encoder = load_encoder(str(modernbert_folder), masked_lm=True)
    long = "札幌は温泉である。" * 20
    settings = evaluate(encoder, [Pair(long, "京都"), Pair("東京", "大阪")], [long, "奈良", long]).settings
    counts = [settings[f"truncated_{what}"] for what in ("queries", "positives", "texts")]
    assert counts == [1, 0, 2]
    assert settings["random_pairs_found"] == 1
    with pytest.raises(UserError, match="1 pairs; expected two"):
        evaluate(encoder, [Pair("東京", "大阪")])
    with pytest.raises(UserError, match="here: 1 texts for random pairs; expected two"):
        evaluate(encoder, [Pair("東京", "大阪")] * 2, ["奈良"], origin="here")


def test_wikipedia_pairs(shared_data: Path, modernbert_folder: Path) -> None:
    file = shared_data / "retrieval" / "wikipedia_pairs.jsonl"
    result = evaluate(
        load_encoder(str(modernbert_folder), masked_lm=True), read_pairs(file), data=file, random_pairs=500
    )
    assert (result.n, result.settings["random_pairs_found"], result.settings["data"]) == (210, 500, file.name)
    assert 0 <= result.metrics["overlap"] <= 1
