"""The validation task on models of each kind: packed and padded rows, fast tokenizers and slow ones."""

import json
import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM, BertConfig, BertForMaskedLM, BertJapaneseTokenizer

from anaume.batches.batch import IGNORE
from anaume.batches.loader import validation_batches
from anaume.batches.masking import Masking
from anaume.batches.plan import BatchPlan
from anaume.corpus.source import Source
from anaume.encoder.load import load_encoder
from anaume.errors import UserError
from anaume.evals.evaluate import evaluate_models
from anaume.evals.record import load_record as load_result
from anaume.evals.tasks import PseudoPerplexityOptions, ValidationOptions
from anaume.evals.validation import evaluate, scores_of_packed_rows, scores_of_padded_rows
from anaume.tokenizer.load import load_tokenizer
from anaume.tokens.build import build, open_stores
from anaume.tokens.store import Store

from ..support.models import PLACES, SPECIALS, THINGS, sentences


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    rows = ["".join(sentences(4, seed)) for seed in range(12)]
    file.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows), encoding="utf-8")
    return file


def stores_of(path: Path, texts: Path, out: Path) -> tuple[list[Store], Any]:
    tokenizer = load_tokenizer(path)
    build([Source(path=str(texts))], tokenizer, out)
    return open_stores(out, tokenizer), tokenizer


@pytest.mark.parametrize("folder", ["modernbert_folder", "bert_folder"])
def test_the_loss_is_that_of_the_plain_model(
    folder: str, texts: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each piece by itself, without padding or packing, through transformers' own forward pass."""
    path: Path = request.getfixturevalue(folder)
    stores, tokenizer = stores_of(path, texts, tmp_path / "tokens")
    result = evaluate(
        load_encoder(str(path), masked_lm=True), stores, tokenizer, texts="here", row_tokens=256, seed=3, masks=1
    )
    model = AutoModelForMaskedLM.from_pretrained(path).eval()
    plan = BatchPlan(stores, (1.0,), tokenizer, seed=3, length=48, row_tokens=256, masking=Masking(0.3, 0.3))
    losses, right = [], []
    for batch in validation_batches(plan, 10**6):
        ends = np.cumsum(batch.lengths)
        labels = np.full(len(batch.input_ids), IGNORE)
        used = batch.labels != IGNORE
        labels[batch.scored[used]] = batch.labels[used]
        for start, end in zip(ends - batch.lengths, ends, strict=True):
            with torch.inference_mode():
                logits = model(torch.from_numpy(batch.input_ids[None, start:end])).logits[0]
            for row, label in zip(logits.log_softmax(-1), labels[start:end].tolist(), strict=True):
                if label != IGNORE:
                    losses.append(-row[label].item())
                    right.append(int(row.argmax()) == label)
    assert result.n == len(losses) > 100
    assert result.metrics["loss"] == pytest.approx(np.mean(losses), abs=1e-4)
    assert result.metrics["accuracy"] == pytest.approx(np.mean(right))
    assert result.metrics["loss [0, 1024]"] == pytest.approx(result.metrics["loss"])
    assert "long_loss" not in result.metrics
    assert "loss_error" not in result.metrics  # one draw has no deviation
    expected = {"length": 48, "tokens": 262_144, "masks": 1, "mask_rate": 0.3, "documents": "split", "texts": "here"}
    assert result.settings == expected


def test_several_draws_of_masks_give_a_mean_and_its_error(modernbert_folder: Path, texts: Path, tmp_path: Path) -> None:
    """The first draw is that of training; each other one hides other tokens of the same text."""
    stores, tokenizer = stores_of(modernbert_folder, texts, tmp_path / "tokens")
    plan = BatchPlan(stores, (1.0,), tokenizer, seed=3, length=48, row_tokens=256, masking=Masking(0.3, 0.3))
    encoder = load_encoder(str(modernbert_folder), masked_lm=True)
    draws = [validation_batches(replace(plan, draw=draw), 10**6) for draw in range(3)]
    for batches in zip(*draws, strict=True):
        texts_of = []
        for batch in batches:
            used, ids = batch.labels != IGNORE, batch.input_ids.copy()
            ids[batch.scored[used]] = batch.labels[used]
            texts_of.append(ids.tolist())
        assert texts_of[0] == texts_of[1] == texts_of[2]
        assert len({tuple(batch.scored.tolist()) for batch in batches}) == 3
    losses = [np.concatenate([scores_of_packed_rows(encoder, batch, 48)[0] for batch in batches]) for batches in draws]
    result = evaluate(encoder, stores, tokenizer, texts="here", row_tokens=256, seed=3, masks=3)
    assert result.n == sum(map(len, losses))
    assert result.metrics["loss"] == pytest.approx(np.concatenate(losses).mean(), abs=1e-4)
    deviation = statistics.stdev(loss.mean() for loss in losses)
    assert result.metrics["loss_error"] == pytest.approx(deviation / math.sqrt(3), rel=1e-2)


def test_packed_and_padded_scores_are_the_same(modernbert_folder: Path, texts: Path, tmp_path: Path) -> None:
    stores, tokenizer = stores_of(modernbert_folder, texts, tmp_path / "tokens")
    encoder = load_encoder(str(modernbert_folder), masked_lm=True)
    plan = BatchPlan(stores, (1.0,), tokenizer, seed=0, length=48, row_tokens=200, masking=Masking(0.3, 0.3))
    for batch in validation_batches(plan, 10**6):
        for packed, padded in zip(
            *(f(encoder, batch, 48) for f in (scores_of_packed_rows, scores_of_padded_rows)), strict=True
        ):
            np.testing.assert_allclose(packed, padded, atol=1e-4)


def test_each_validation_set_has_metrics_of_its_own(modernbert_folder: Path, texts: Path, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(modernbert_folder)
    source = Source(path=str(texts))
    halves = [source.model_copy(update=half) for half in ({"max_documents": 6}, {"skip_documents": 6})]
    build(halves, tokenizer, tmp_path / "tokens")
    stores, encoder = open_stores(tmp_path / "tokens", tokenizer), load_encoder(str(modernbert_folder), masked_lm=True)
    both = evaluate(encoder, stores, tokenizer, texts="here", names=["general", "domain"], tokens=2000, row_tokens=256)
    total = 0
    for store, name in zip(stores, ("general", "domain"), strict=True):
        alone = evaluate(encoder, [store], tokenizer, texts="here", tokens=1000, row_tokens=256)
        for metric in ("loss", "accuracy", "bits_per_character"):
            assert both.metrics[f"{name}: {metric}"] == pytest.approx(alone.metrics[metric])
        bits = alone.metrics["loss"] * store.tokens / store.characters / math.log(2)
        assert alone.metrics["bits_per_character"] == pytest.approx(bits)
        total += alone.n
    assert both.n == total
    assert "bits_per_character" not in both.metrics


@pytest.fixture
def tohoku(tmp_path: Path) -> Path:
    """A BERT of Tohoku's kind: its words are cut in Python, and no tokenizer.json describes that."""
    folder = tmp_path / "tohoku"
    folder.mkdir()
    characters = sorted(set("".join(PLACES + THINGS) + "はである。"))
    (folder / "vocab.txt").write_text("\n".join([*SPECIALS, *characters]), encoding="utf-8")
    tokenizer = BertJapaneseTokenizer(
        str(folder / "vocab.txt"), word_tokenizer_type="basic", subword_tokenizer_type="character", model_max_length=40
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=40,
        pad_token_id=1,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert not (folder / "tokenizer.json").exists()
    return folder


def test_a_tokenizer_without_tokenizer_json(tohoku: Path) -> None:
    encoder = load_encoder(str(tohoku), masked_lm=True)
    loaded = load_tokenizer(tohoku)
    (ids,) = loaded.encode(["東京は首都"])
    assert encoder.tokenizer.convert_ids_to_tokens(ids.tolist()) == list("東京は首都")
    assert loaded.vocab_size == len(encoder.tokenizer)
    assert (loaded.unk_id, loaded.pad_id, loaded.cls_id, loaded.sep_id, loaded.mask_id) == (0, 1, 2, 3, 4)
    assert loaded.special_ids == (0, 1, 2, 3, 4)
    assert not set(loaded.encode(["東京[MASK]"])[0].tolist()) & {2, 3, 4}


def positions(texts: Path) -> PseudoPerplexityOptions:
    return PseudoPerplexityOptions(texts=str(texts), positions=2)


def test_tasks_on_texts_with_such_a_model(tohoku: Path, texts: Path, tmp_path: Path) -> None:
    options = ValidationOptions(texts=str(texts))
    (record,) = evaluate_models("validation", [str(tohoku)], options, tmp_path / "out")
    result = load_result(record)
    assert result.n > 50
    assert result.metrics["loss"] == pytest.approx(math.log(45), abs=0.3)  # its vocabulary; it has learned nothing
    assert result.settings["documents"] == "split"
    with pytest.raises(
        UserError, match="12 are too long and 0 have no token to mask; expected 1 to 40 tokens for tohoku"
    ):
        list(evaluate_models("pseudo-perplexity", [str(tohoku)], positions(texts), tmp_path / "out"))
    short = tmp_path / "short.txt"
    short.write_text("東京は首都である。", encoding="utf-8")
    (record,) = evaluate_models("pseudo-perplexity", [str(tohoku)], positions(short), tmp_path / "out")
    assert load_result(record).details[0]["characters"] == 9
