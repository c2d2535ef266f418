"""Retrieval by an encoder and by baselines: by hand with a fake encoder, and against sentence-transformers."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from torch import Tensor

from anaume import __version__
from anaume.encoder.load import Encoder, load_encoder
from anaume.errors import UserError
from anaume.evals.inputs.pairs import Pair, read_pairs
from anaume.evals.retrieval import ranking
from anaume.evals.retrieval.collection import from_pairs
from anaume.evals.retrieval.evaluate import Lexical, default_unit, evaluate, evaluate_lexical

from ...support.models import sentences


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
    result = evaluate(fake_encoder(vectors), from_pairs([Pair(str(i), str(12 + i)) for i in range(12)]), seed=7)
    ranks = [1, 1, 5, 8, 7, 6, 10, 5, 4, 3, 2, 1]
    assert result.metrics["recall_at_10"] == 1.0
    assert result.metrics["mrr_at_10"] == pytest.approx(sum(1 / rank for rank in ranks) / 12)
    assert (result.model, result.task, result.n, result.seed) == ("fake", "retrieval", 12, 7)
    assert result.version == __version__


def test_what_all_texts_share_is_subtracted() -> None:
    """Each pair points in a direction of its own, but a component a hundred times as large hides it."""
    pairs = from_pairs([Pair(str(i), str(i + 3)) for i in range(3)])
    own = torch.tensor([at(angle) for angle in (0, 120, 240)])
    lengths = torch.tensor([1.0, 1.0, 1.0, 1.0, 3.0, 3.0])[:, None]
    vectors = torch.cat([own, own]) * lengths + torch.tensor([100.0, 0.0])
    assert evaluate(fake_encoder(vectors), pairs).metrics["recall_at_1"] < 1
    assert evaluate(fake_encoder(vectors), pairs, centre=True).metrics["recall_at_1"] == 1


def test_one_embedding_for_everything_finds_nothing() -> None:
    pairs = [Pair(str(i), str(i + 30)) for i in range(30)]
    result = evaluate(fake_encoder(torch.full((60, 64), 0.3)), from_pairs(pairs))
    assert result.metrics == {
        "ndcg_at_10": 0.0,
        "recall_at_1": 0.0,
        "recall_at_10": 0.0,
        "recall_at_100": 1.0,
        "mrr_at_10": 0.0,
    }


def test_same_numbers_as_sentence_transformers(modernbert_folder: Path) -> None:
    texts = sentences(80, seed=5)
    pairs = [Pair(query, positive) for query, positive in zip(texts[:40], texts[40:], strict=True)]
    evaluator = InformationRetrievalEvaluator(
        queries={str(i): pair.query for i, pair in enumerate(pairs)},
        corpus={str(i): pair.positive for i, pair in enumerate(pairs)},
        relevant_docs={str(i): {str(i)} for i in range(len(pairs))},
        mrr_at_k=[10],
        precision_recall_at_k=[1, 10, 100],
        ndcg_at_k=[10],
        write_csv=False,
    )
    expected = evaluator(SentenceTransformer(str(modernbert_folder), device="cpu"))
    result = evaluate(load_encoder(str(modernbert_folder), masked_lm=False), from_pairs(pairs), batch_tokens=100)
    for name in ("recall", "mrr", "ndcg"):
        for k in (1, 10, 100) if name == "recall" else (10,):
            assert result.metrics[f"{name}_at_{k}"] == pytest.approx(expected[f"cosine_{name}@{k}"], abs=1e-6)
    assert 0 < result.metrics["mrr_at_10"] < result.metrics["recall_at_10"] < 1


def test_settings_and_repetition(modernbert_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "pairs.jsonl"
    data.write_text('{"query": "東京", "positive": "首都"}\n{"query": "京都", "positive": "古都"}\n')
    pairs = [*read_pairs(data), Pair("東京は首都である。" * 20, "大阪")]
    encoder = load_encoder(str(modernbert_folder), masked_lm=True)
    collection = from_pairs(pairs, data)
    result = evaluate(encoder, collection, query_prefix="首都", seed=3)
    assert result == evaluate(encoder, collection, query_prefix="首都", seed=3)
    assert result.model == "tiny-modernbert"
    settings = result.settings
    assert (settings["truncated_queries"], settings["truncated_documents"]) == (1, 0)
    assert (settings["max_length"], settings["corpus"]) == (48, 3)
    assert (settings["data"], settings["query_prefix"]) == ("pairs.jsonl", "首都")
    assert len(settings["sha256"]) == 64


def test_prefixes_reach_the_model() -> None:
    vectors = torch.zeros(200, 2)
    vectors[[15, 26]] = torch.tensor(at(0))  # query "5" behind prefix "1", positive "6" behind "2"
    vectors[[17, 28]] = torch.tensor(at(90))
    pairs = [Pair("5", "6"), Pair("7", "8")]
    assert evaluate(fake_encoder(vectors), from_pairs(pairs)).metrics["mrr_at_10"] == 0.5  # two ties
    result = evaluate(fake_encoder(vectors), from_pairs(pairs), query_prefix="1", positive_prefix="2")
    assert result.metrics["mrr_at_10"] == 1.0


def test_lexical_known_by_hand() -> None:
    pairs = [Pair("あいうえ", "あいうお"), Pair("かきくけ", "けきくか"), Pair("さしす", "かきくこ")]
    edit = evaluate_lexical("edit-distance", from_pairs(pairs))
    # 1st: own 3/4. 2nd: own 2/4, かきくこ 3/4: rank 2. 3rd: all 0: last of three.
    assert edit.metrics["mrr_at_10"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    jaccard = evaluate_lexical("jaccard", from_pairs(pairs))  # 2nd: the same letters: rank 1
    assert jaccard.metrics["mrr_at_10"] == pytest.approx((1 + 1 + 1 / 3) / 3)
    bigrams = evaluate_lexical("jaccard", from_pairs(pairs), "bigrams")  # 2nd: one bigram in common, かきくこ has two
    assert bigrams.metrics["mrr_at_10"] < jaccard.metrics["mrr_at_10"]
    assert (edit.model, bigrams.model, edit.task) == ("edit-distance", "jaccard-bigrams", "retrieval")
    assert (edit.settings["unit"], bigrams.settings["unit"]) == ("characters", "bigrams")


def test_bm25_prefers_what_is_rare() -> None:
    # The first query shares の, which every entry has, twice with the second entry, and 海 once with its own.
    pairs = [Pair("海のの", "海の近く"), Pair("山の", "山のの上"), Pair("空の", "空の下")]
    result = evaluate_lexical("bm25", from_pairs(pairs), "characters")
    assert set(result.metrics.values()) == {1.0}
    assert result.model == "bm25-characters"
    settings = result.settings
    assert (settings["unit"], settings["k1"], settings["b"]) == ("characters", 1.2, 0.75)
    assert settings["similarity"].startswith("BM25: sum over the query's units")
    assert evaluate_lexical("bm25", from_pairs(pairs)).settings["unit"] == "bigrams"


def test_bm25_ties_are_pessimistic_and_copies_are_right() -> None:
    pairs = [Pair("あ", "あい"), Pair("い", "いあ"), Pair("う", "うえ"), Pair("え", "うえ")]
    # 1st and 2nd: both entries have the same letters, so the wrong one ranks before. 3rd and 4th: a copy is right.
    assert evaluate_lexical("bm25", from_pairs(pairs), "characters").metrics["mrr_at_10"] == pytest.approx(
        (0.5 + 0.5 + 1 + 1) / 4
    )


@pytest.mark.parametrize("kind", ["edit-distance", "edit-distance-raw", "jaccard", "bm25"])
def test_baselines_in_blocks_are_those_of_the_whole(kind: Lexical, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = sentences(120, seed=2)
    pairs = [Pair(query, positive) for query, positive in zip(texts[:60], texts[60:], strict=True)]
    whole = evaluate_lexical(kind, from_pairs(pairs))
    assert 0 < whole.metrics["mrr_at_10"] < 1
    monkeypatch.setattr(ranking, "QUERIES_AT_ONCE", 7)
    monkeypatch.setattr(ranking, "DOCUMENTS_AT_ONCE", 11)
    assert evaluate_lexical(kind, from_pairs(pairs)) == whole


def test_lexical_names_its_tokenizer(modernbert_folder: Path) -> None:
    tokenizer = load_encoder(str(modernbert_folder), masked_lm=True).tokenizer
    pairs = [Pair("東京は首都", "首都は東京"), Pair("京都は古都", "古都は京都")]
    result = evaluate_lexical("jaccard", from_pairs(pairs), "tokens", tokenizer=tokenizer)
    assert result.settings["tokenizer"] == str(modernbert_folder)
    assert result.metrics["recall_at_10"] == 1.0


def test_bad_inputs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no pairs"):
        from_pairs([])
    with pytest.raises(
        UserError, match="'bm26': unknown; expected one of edit-distance, edit-distance-raw, jaccard, bm25"
    ):
        evaluate_lexical("bm26", from_pairs([Pair("a", "b")]))  # type: ignore[arg-type]
    for text in ('""', '" \\u3000"'):
        (tmp_path / "pairs.jsonl").write_text(f'{{"query": "a", "positive": {text}}}\n', encoding="utf-8")
        with pytest.raises(UserError, match=r"pairs\.jsonl:1: `positive` is .*; expected a text that is not empty"):
            read_pairs(tmp_path / "pairs.jsonl")


def test_lexical_baselines_on_wikipedia_pairs(shared_data: Path) -> None:
    file = shared_data / "retrieval" / "wikipedia_pairs.jsonl"
    pairs = read_pairs(file)
    assert len(pairs) == 210
    edit = evaluate_lexical("edit-distance", from_pairs(pairs, file)).metrics
    jaccard = evaluate_lexical("jaccard", from_pairs(pairs, file)).metrics
    bm25 = evaluate_lexical("bm25", from_pairs(pairs, file)).metrics
    raw = evaluate_lexical("edit-distance-raw", from_pairs(pairs, file)).metrics
    spaces = evaluate_lexical("jaccard", from_pairs(pairs, file), "spaces").metrics
    pytest.importorskip("fugashi")
    mecab = evaluate_lexical("bm25", from_pairs(pairs, file), "mecab").metrics
    names = ("recall_at_10", "mrr_at_10")
    assert [edit[name] for name in names] == pytest.approx([0.419, 0.279], abs=1e-3)
    assert [jaccard[name] for name in names] == pytest.approx([0.681, 0.437], abs=1e-3)
    assert [raw[name] for name in names] == pytest.approx([0.271, 0.192], abs=1e-3)
    assert [spaces[name] for name in names] == pytest.approx([0.005, 0.001], abs=1e-3)
    assert [bm25[name] for name in names] == pytest.approx([0.843, 0.694], abs=1e-3)
    assert [mecab[name] for name in names] == pytest.approx([0.857, 0.692], abs=1e-3)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("Die Städte im Norden sind größer als die im Süden.", "words"), ("北の町は南の町より大きい。", "bigrams")],
)
def test_bm25_counts_the_words_of_a_language_with_spaces(text: str, unit: str) -> None:
    collection = from_pairs([Pair(f"{text} {number}?", f"{text} {number}") for number in range(3)])
    assert default_unit("bm25", collection) == unit
    assert default_unit("jaccard", collection) == "characters"
    record = evaluate_lexical("bm25", collection)
    assert (record.model, record.settings["unit"]) == ("bm25-words" if unit == "words" else "bm25", unit)
