"""Recall@10 and MRR@10: by hand with a fake encoder, by plain loops, and against sentence-transformers."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.util import semantic_search
from torch import Tensor

from anaume import __version__
from anaume.encoder.load import Encoder, load_encoder
from anaume.errors import UserError
from anaume.evals import retrieval
from anaume.evals.inputs.pairs import Pair, read_pairs
from anaume.evals.retrieval import evaluate, evaluate_lexical, metrics_of, ranks_of

from ..support.models import sentences


class OneTokenATextTokenizer:
    """Every text is one token, and its id is its number."""

    pad_token_id = 0

    def __call__(self, texts: str | Sequence[str], **_: object) -> dict[str, Any]:
        if isinstance(texts, str):
            return {"input_ids": [0]}
        return {"input_ids": [[int(text)] for text in texts]}


def fake_encoder(vectors: Tensor) -> Encoder:
    """Gives text "i" the embedding `vectors[i]`."""

    def network(input_ids: Tensor, attention_mask: Tensor) -> SimpleNamespace:
        assert attention_mask.all()
        return SimpleNamespace(last_hidden_state=vectors[input_ids])

    model = SimpleNamespace(base_model=network, config=SimpleNamespace(hidden_size=vectors.shape[1]))
    return Encoder("fake", OneTokenATextTokenizer(), model, 8, torch.device("cpu"))


def at(degrees: float) -> list[float]:
    return [math.cos(math.radians(degrees)), math.sin(math.radians(degrees))]


def test_known_by_hand() -> None:
    # Queries 0 and 1 point at their own entries. Query 2 looks to 40°, its own lies at 20°: after 40°, 30°,
    # 50°, and after entry 6, which lies at 20° too. The others look to 160°: larger angles come first.
    entries = [0, 10, 20, 30, 40, 50, 20, 70, 80, 90, 100, 110]
    vectors = torch.tensor([at(angle) for angle in [0, 10, 40, *[160] * 9, *entries]])
    vectors *= 2.0 ** (torch.arange(24) % 5)[:, None]  # length must not matter
    result = evaluate(fake_encoder(vectors), [Pair(str(i), str(12 + i)) for i in range(12)], seed=7)
    ranks = [1, 1, 5, 8, 7, 6, 10, 5, 4, 3, 2, 1]
    assert result.metrics["recall_at_10"] == 1.0
    assert result.metrics["mrr_at_10"] == pytest.approx(sum(1 / rank for rank in ranks) / 12)
    assert (result.model, result.task, result.n, result.seed) == ("fake", "retrieval", 12, 7)
    assert result.version == __version__


def test_one_embedding_for_everything_finds_nothing() -> None:
    pairs = [Pair(str(i), str(i + 30)) for i in range(30)]
    result = evaluate(fake_encoder(torch.full((60, 64), 0.3)), pairs)
    assert result.metrics == {"recall_at_10": 0.0, "mrr_at_10": 0.0}


def test_nan_finds_nothing() -> None:
    similarities = torch.full((20, 20), torch.nan, dtype=torch.float64)
    ranks = ranks_of(lambda rows, columns: similarities[rows, columns].clone(), [str(i) for i in range(20)])
    assert metrics_of(ranks) == {"recall_at_10": 0, "mrr_at_10": 0}


def test_another_entry_with_the_right_text_is_right() -> None:
    similarities = torch.tensor([[0.1, 0.9, 0.5], [0.9, 0.1, 0.5], [0.0, 0.0, 1.0]], dtype=torch.float64)
    ranks = ranks_of(lambda rows, columns: similarities[rows, columns].clone(), ["same", "same", "other"])
    assert ranks.tolist() == [1, 1, 1]
    ranks = ranks_of(lambda rows, columns: similarities[rows, columns].clone(), ["one", "another", "other"])
    assert ranks.tolist() == [3, 3, 1]


def test_ranks_in_blocks_are_those_of_plain_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    total = 60
    generator = torch.Generator().manual_seed(3)
    # Rounded, so that ties are many; the right answers lifted, so that ranks cover 1 … 10 and beyond.
    similarities = torch.rand(total, total, generator=generator, dtype=torch.float64)
    similarities = ((similarities + 0.6 * torch.eye(total)) * 50).round() / 50
    positives = [f"text {i % 55}" for i in range(total)]
    expected = []
    for i in range(total):
        best = max(similarities[i, j].item() for j in range(total) if positives[j] == positives[i])
        wrong = [similarities[i, j].item() for j in range(total) if positives[j] != positives[i]]
        expected.append(min(11, 1 + sum(value >= best for value in wrong)))
    assert len(set(expected)) > 4
    for queries, corpus in ((2048, 4096), (7, 13), (1, 1)):
        monkeypatch.setattr(retrieval, "QUERIES_AT_ONCE", queries)
        monkeypatch.setattr(retrieval, "CORPUS_AT_ONCE", corpus)
        assert ranks_of(lambda rows, columns: similarities[rows, columns].clone(), positives).tolist() == expected


def test_metrics_of_ranks() -> None:
    metrics = metrics_of(torch.tensor([1, 2, 10, 11]))
    assert metrics == {"recall_at_10": 0.75, "mrr_at_10": pytest.approx((1 + 1 / 2 + 1 / 10) / 4)}


def test_same_numbers_as_sentence_transformers(modernbert_folder: Path) -> None:
    texts = sentences(80, seed=5)
    pairs = [Pair(query, positive) for query, positive in zip(texts[:40], texts[40:], strict=True)]
    evaluator = InformationRetrievalEvaluator(
        queries={str(i): pair.query for i, pair in enumerate(pairs)},
        corpus={str(i): pair.positive for i, pair in enumerate(pairs)},
        relevant_docs={str(i): {str(i)} for i in range(len(pairs))},
        mrr_at_k=[10],
        precision_recall_at_k=[10],
        write_csv=False,
    )
    expected = evaluator(SentenceTransformer(str(modernbert_folder), device="cpu"))
    result = evaluate(load_encoder(str(modernbert_folder), masked_lm=False), pairs, batch_tokens=100)
    assert result.metrics["recall_at_10"] == pytest.approx(expected["cosine_recall@10"])
    assert result.metrics["mrr_at_10"] == pytest.approx(expected["cosine_mrr@10"])
    assert 0 < result.metrics["mrr_at_10"] < result.metrics["recall_at_10"] < 1


def test_same_ranks_as_semantic_search(monkeypatch: pytest.MonkeyPatch) -> None:
    total = 300
    generator = torch.Generator().manual_seed(4)
    queries = torch.randn(total, 24, generator=generator)
    corpus = queries + 1.7 * torch.randn(total, 24, generator=generator)
    hits = semantic_search(queries, corpus, query_chunk_size=70, corpus_chunk_size=90, top_k=10)
    hit_ids = [[hit["corpus_id"] for hit in row] for row in hits]
    expected = [row.index(i) + 1 if i in row else 11 for i, row in enumerate(hit_ids)]
    assert set(range(1, 12)) == set(expected)
    pairs = [Pair(str(i), str(total + i)) for i in range(total)]
    for at_once in (2048, 37):
        monkeypatch.setattr(retrieval, "QUERIES_AT_ONCE", at_once)
        monkeypatch.setattr(retrieval, "CORPUS_AT_ONCE", at_once)
        metrics = evaluate(fake_encoder(torch.cat([queries, corpus])), pairs).metrics
        assert metrics == metrics_of(torch.tensor(expected))


def test_settings_and_repetition(modernbert_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    data.write_text('{"query": "東京", "positive": "首都"}\n{"query": "京都", "positive": "古都"}\n')
    pairs = [*read_pairs(data), Pair("東京は首都である。" * 20, "大阪")]
    encoder = load_encoder(str(modernbert_folder), masked_lm=True)
    result = evaluate(encoder, pairs, data=data, query_prefix="首都", seed=3)
    assert result == evaluate(encoder, pairs, data=data, query_prefix="首都", seed=3)
    assert result.model == "tiny-modernbert"
    settings = result.settings
    assert (settings["truncated_queries"], settings["truncated_positives"]) == (1, 0)
    assert (settings["max_length"], settings["corpus"]) == (48, 3)
    assert (settings["data"], settings["query_prefix"]) == ("pairs.jsonl", "首都")
    assert len(settings["sha256"]) == 64


def test_prefixes_reach_the_model() -> None:
    vectors = torch.zeros(200, 2)
    vectors[[15, 26]] = torch.tensor(at(0))  # query "5" behind prefix "1", positive "6" behind "2"
    vectors[[17, 28]] = torch.tensor(at(90))
    pairs = [Pair("5", "6"), Pair("7", "8")]
    assert evaluate(fake_encoder(vectors), pairs).metrics["mrr_at_10"] == 0.5  # two ties
    result = evaluate(fake_encoder(vectors), pairs, query_prefix="1", positive_prefix="2")
    assert result.metrics["mrr_at_10"] == 1.0


def test_lexical_known_by_hand() -> None:
    pairs = [Pair("あいうえ", "あいうお"), Pair("かきくけ", "けきくか"), Pair("さしす", "かきくこ")]
    edit = evaluate_lexical("edit-distance", pairs)
    # 1st: own 3/4. 2nd: own 2/4, かきくこ 3/4: rank 2. 3rd: all 0: last of three.
    assert edit.metrics["mrr_at_10"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    jaccard = evaluate_lexical("jaccard", pairs)  # 2nd: the same letters: rank 1
    assert jaccard.metrics["mrr_at_10"] == pytest.approx((1 + 1 + 1 / 3) / 3)
    bigrams = evaluate_lexical("jaccard", pairs, "bigrams")  # 2nd: one bigram in common, かきくこ has two
    assert bigrams.metrics["mrr_at_10"] < jaccard.metrics["mrr_at_10"]
    assert (edit.model, jaccard.model, edit.task) == ("edit-distance", "jaccard", "retrieval")
    assert (edit.settings["unit"], bigrams.settings["unit"]) == ("characters", "bigrams")


def test_bm25_prefers_what_is_rare() -> None:
    # The first query shares の, which every entry has, twice with the second entry, and 海 once with its own.
    pairs = [Pair("海のの", "海の近く"), Pair("山の", "山のの上"), Pair("空の", "空の下")]
    result = evaluate_lexical("bm25", pairs, "characters")
    assert result.metrics == {"recall_at_10": 1.0, "mrr_at_10": 1.0}
    assert result.model == "bm25"
    settings = result.settings
    assert (settings["unit"], settings["k1"], settings["b"]) == ("characters", 1.2, 0.75)
    assert settings["similarity"].startswith("BM25: sum over the query's units")
    assert evaluate_lexical("bm25", pairs).settings["unit"] == "bigrams"


def test_bm25_ties_are_pessimistic_and_copies_are_right() -> None:
    pairs = [Pair("あ", "あい"), Pair("い", "いあ"), Pair("う", "うえ"), Pair("え", "うえ")]
    # 1st and 2nd: both entries have the same letters, so the wrong one ranks before. 3rd and 4th: a copy is right.
    assert evaluate_lexical("bm25", pairs, "characters").metrics["mrr_at_10"] == pytest.approx((0.5 + 0.5 + 1 + 1) / 4)


@pytest.mark.parametrize("kind", ["edit-distance", "jaccard", "bm25"])
def test_baselines_in_blocks_are_those_of_the_whole(kind: retrieval.Lexical, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(120, seed=2)
    pairs = [Pair(query, positive) for query, positive in zip(texts[:60], texts[60:], strict=True)]
    whole = evaluate_lexical(kind, pairs)
    assert 0 < whole.metrics["mrr_at_10"] < 1
    monkeypatch.setattr(retrieval, "QUERIES_AT_ONCE", 7)
    monkeypatch.setattr(retrieval, "CORPUS_AT_ONCE", 11)
    assert evaluate_lexical(kind, pairs) == whole


def test_lexical_names_its_tokenizer(modernbert_folder: Path) -> None:
    tokenizer = load_encoder(str(modernbert_folder), masked_lm=True).tokenizer
    pairs = [Pair("東京は首都", "首都は東京"), Pair("京都は古都", "古都は京都")]
    result = evaluate_lexical("jaccard", pairs, "tokens", tokenizer=tokenizer)
    assert result.settings["tokenizer"] == str(modernbert_folder)
    assert result.metrics["recall_at_10"] == 1.0


def test_bad_inputs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pairs"):
        evaluate(fake_encoder(torch.ones(1, 1)), [])
    with pytest.raises(UserError, match="'bm26': unknown; expected one of edit-distance, jaccard, bm25"):
        evaluate_lexical("bm26", [Pair("a", "b")])  # type: ignore[arg-type]
    for text in ('""', '" \\u3000"'):
        (tmp_path / "pairs.jsonl").write_text(f'{{"query": "a", "positive": {text}}}\n', encoding="utf-8")
        with pytest.raises(UserError, match=r"pairs\.jsonl:1: `positive` is .*; expected a text that is not empty"):
            read_pairs(tmp_path / "pairs.jsonl")


def test_lexical_baselines_on_wikipedia_pairs(shared_data: Path) -> None:
    file = shared_data / "retrieval" / "wikipedia_pairs.jsonl"
    pairs = read_pairs(file)
    assert len(pairs) == 210
    edit = evaluate_lexical("edit-distance", pairs, data=file).metrics
    jaccard = evaluate_lexical("jaccard", pairs, data=file).metrics
    bm25 = evaluate_lexical("bm25", pairs, data=file).metrics
    assert edit == pytest.approx({"recall_at_10": 0.419, "mrr_at_10": 0.279}, abs=1e-3)
    assert jaccard == pytest.approx({"recall_at_10": 0.681, "mrr_at_10": 0.437}, abs=1e-3)
    assert bm25 == pytest.approx({"recall_at_10": 0.843, "mrr_at_10": 0.694}, abs=1e-3)
