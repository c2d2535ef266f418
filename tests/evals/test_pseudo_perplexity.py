"""Pseudo-perplexity: fake models whose losses are known by hand, and the obvious script on real ones."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForMaskedLM, PreTrainedTokenizerFast

from anaume.corpus.readers import documents
from anaume.encoder.load import Encoder, load_encoder
from anaume.encoder.tokenize import tokenize
from anaume.errors import UserError
from anaume.evals.pseudo_perplexity import (
    EncodedDocument,
    documents_of_stores,
    documents_of_texts,
    evaluate,
    masked_losses,
    sample,
)
from anaume.export.checkpoint import export
from anaume.run import Run
from anaume.tokenizer import load as tokenizers
from anaume.tokens.build import open_stores

from ..support.models import sentences
from .test_fill_mask import FakeModel

Unigram = Callable[[str], PreTrainedTokenizerFast]


def fake_encoder(tokenizer: Any, network: Callable[[Tensor], Tensor], max_length: int = 8192) -> Encoder:
    return Encoder("fake", tokenizer, FakeModel(network), max_length, torch.device("cpu"))


def undecided(tokenizer: Any) -> Callable[[Tensor], Tensor]:
    return lambda ids: torch.zeros(*ids.shape, len(tokenizer))


def of_lengths(tokenizer: Any, lengths: list[int]) -> Iterator[EncodedDocument]:
    """Documents of these lengths in tokens: [CLS] は … [SEP]."""
    token = tokenizer.convert_tokens_to_ids("は")
    for number, length in enumerate(lengths):
        ids = [tokenizer.cls_token_id, *[token] * (length - 2), tokenizer.sep_token_id]
        yield EncodedDocument(np.array(ids), 3 * (length - 2), number)


def test_a_model_that_knows_nothing(unigram: Unigram) -> None:
    """Its pseudo-perplexity is the size of its vocabulary, and each token costs log2 of that many bits."""
    tokenizer = unigram("always")
    encoder = fake_encoder(tokenizer, undecided(tokenizer))
    texts = ["東京" * 5, "首都" * 9]  # the first 東京 is ▁東京, 首都 has a bare ▁ before it
    result = evaluate(encoder, documents_of_texts(encoder, texts), texts="here", positions=7, seed=3)
    size = len(tokenizer)
    assert result.metrics == {
        "pseudo_perplexity [0, 1024]": pytest.approx(size),
        "pseudo_perplexity": pytest.approx(size),
        "bits_per_character": pytest.approx(math.log2(size) * (5 + 10) / (10 + 18)),
    }
    assert (result.model, result.task, result.n, result.seed) == ("fake", "pseudo-perplexity", 2, 3)
    assert result.details[1] == {
        "tokens": 12,
        "characters": 18,
        "loss": pytest.approx(math.log(size)),
        "pseudo_perplexity": pytest.approx(size),
    }
    assert result.settings["of_documents"] == {"[0, 1024]": 2}
    assert (result.settings["positions"], result.settings["texts"]) == (7, "here")


def test_every_document_of_a_bin_weighs_the_same(unigram: Unigram) -> None:
    """Losses of ln 2 in one document and ln 8 in another: together exp((ln 2 + ln 8) / 2) = 4."""
    tokenizer = unigram("always")
    first, second = (tokenizer.convert_tokens_to_ids(piece) for piece in "はも")
    table = torch.full((len(tokenizer), len(tokenizer)), -50.0)  # by the token that is there most
    table[first, [first, second]] = 0.0
    table[second, [second, *range(20, 27)]] = 0.0
    network = lambda ids: table[ids.mode(-1).values][:, None, :].expand(-1, ids.shape[1], -1)  # noqa: E731
    encoder = fake_encoder(tokenizer, network)
    ids = [np.array([2, *[token] * length, 3]) for token, length in ((first, 4), (second, 12))]
    encoded = [EncodedDocument(row, 10, number) for number, row in enumerate(ids)]
    metrics = evaluate(encoder, encoded, texts="here", positions=5).metrics
    assert metrics["pseudo_perplexity"] == pytest.approx(4)
    assert metrics["bits_per_character"] == pytest.approx((4 * 1 + 12 * 3) / 20)


def test_the_bins_of_the_paper(unigram: Unigram) -> None:
    tokenizer = unigram("always")
    encoder = fake_encoder(tokenizer, undecided(tokenizer), max_length=10_000)
    lengths = [3, 1024, 1025, 2048, 2049, 4096, 4097, 8192, 8193, 2, 10_001]
    result = evaluate(encoder, of_lengths(tokenizer, lengths), texts="here", positions=1)
    names = ("[0, 1024]", "(1024, 2048]", "(2048, 4096]", "(4096, 8192]")
    assert list(result.metrics)[:4] == [f"pseudo_perplexity {name}" for name in names]
    assert result.settings["of_documents"] == dict.fromkeys(names, 2)
    assert (result.settings["left_out_too_long"], result.settings["left_out_without_tokens"]) == (2, 1)
    assert [row["tokens"] for row in result.details] == lengths[:8]


def test_a_text_longer_than_the_model_is_left_out(unigram: Unigram) -> None:
    tokenizer = unigram("always")
    encoder = fake_encoder(tokenizer, undecided(tokenizer), max_length=48)
    result = evaluate(encoder, of_lengths(tokenizer, [48, 49, 20]), texts="here")
    assert (result.n, result.settings["left_out_too_long"]) == (2, 1)
    with pytest.raises(UserError, match="here: no document for pseudo-perplexity, 1 are too long and 2 have no token"):
        evaluate(encoder, of_lengths(tokenizer, [49, 2, 2]), texts="here")


def test_up_to_a_number_of_each_bin(unigram: Unigram) -> None:
    tokenizer = unigram("always")
    encoder = fake_encoder(tokenizer, undecided(tokenizer))
    lengths = [*range(10, 60), 1030, *range(60, 70), 1031, 1032]
    drawn = sample(encoder, of_lengths(tokenizer, lengths), 5, 0)
    numbers = [document.number for document in drawn.documents]
    assert (len(numbers), drawn.seen) == (8, [60, 3, 0, 0])
    assert numbers == sorted(set(numbers))
    assert {50, 61, 62} <= set(numbers)
    again, other = (sample(encoder, of_lengths(tokenizer, lengths), 5, seed).documents for seed in (0, 1))
    assert [document.number for document in again] == numbers != [document.number for document in other]


def test_special_tokens_are_never_asked_for_but_the_unknown(unigram: Unigram) -> None:
    """A model that thinks special tokens all but impossible: one draw of them would show."""
    tokenizer = unigram("always")
    never = [token for token in tokenizer.all_special_ids if token != tokenizer.unk_token_id]
    punished = torch.zeros(len(tokenizer))
    punished[never] = -1000.0
    encoder = fake_encoder(tokenizer, lambda ids: punished.expand(*ids.shape, -1))
    texts = ["は薔薇も東京[SEP]首都"]  # unknown characters, and a special token spelled out
    encoded = list(documents_of_texts(encoder, texts))
    assert len(set(encoded[0].ids.tolist()) & set(tokenizer.all_special_ids)) >= 3
    metrics = evaluate(encoder, encoded, texts="here", positions=300).metrics
    assert metrics["pseudo_perplexity"] == pytest.approx(len(tokenizer) - len(never))
    punished[tokenizer.unk_token_id] = -1000.0
    assert evaluate(encoder, encoded, texts="here", positions=300).metrics["pseudo_perplexity"] > 1e6


def obvious(path: str, ids: list[int], mask: int) -> Tensor:
    """(n,) loss of each token masked alone: a padded forward pass of transformers' model for each."""
    model = AutoModelForMaskedLM.from_pretrained(path).eval()
    losses = []
    for place, token in enumerate(ids):
        copy = torch.tensor([ids])
        copy[0, place] = mask
        with torch.inference_mode():
            losses.append(-model(copy).logits[0, place].log_softmax(-1)[token])
    return torch.stack(losses)


@pytest.mark.parametrize("folder", ["modernbert_folder", "bert_folder"])
def test_masked_losses_are_those_of_the_obvious_script(folder: str, request: pytest.FixtureRequest) -> None:
    path = str(request.getfixturevalue(folder))
    encoder = load_encoder(path, masked_lm=True)
    for row in tokenize(encoder, ["東京は首都である。" * 4, "京都は古都", "も"]).rows:
        ids = torch.tensor(row)
        expected = obvious(path, row, encoder.tokenizer.mask_token_id)
        for batch_tokens in (1, 100, 8192):
            got = masked_losses(encoder, ids, torch.arange(len(row)), batch_tokens=batch_tokens)
            torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)


def test_many_draws_come_near_the_mean_of_all_positions(modernbert_folder: Path) -> None:
    encoder = load_encoder(str(modernbert_folder), masked_lm=True)
    encoded = list(documents_of_texts(encoder, sentences(2, seed=8)))
    draws = 40_000
    result = evaluate(encoder, encoded, texts="here", positions=draws)
    for document, row in zip(encoded, result.details, strict=True):
        ids = document.ids.tolist()
        everywhere = obvious(str(modernbert_folder), ids, encoder.tokenizer.mask_token_id)
        never = {*encoder.tokenizer.all_special_ids} - {encoder.tokenizer.unk_token_id}
        ordinary = everywhere[[token not in never for token in ids]]
        error = 5 * ordinary.std().item() / math.sqrt(draws)
        assert row["loss"] == pytest.approx(ordinary.mean().item(), abs=error + 1e-4)


def test_same_seed_same_numbers(modernbert_folder: Path) -> None:
    encoder = load_encoder(str(modernbert_folder), masked_lm=True)
    texts = sentences(30, seed=1)

    def run(seed: int, limit: int = 500) -> Any:
        return evaluate(encoder, documents_of_texts(encoder, texts), texts="t", positions=3, limit=limit, seed=seed)

    assert run(2) == run(2) != run(3)
    # What a document is asked depends on its number only, not on which others were drawn.
    whole, few = ([(row["tokens"], row["loss"]) for row in run(2, limit).details] for limit in (500, 4))
    assert len(few) == 4
    assert set(few) <= set(whole)


@pytest.mark.slow
def test_stores_give_the_documents_of_the_texts(straight: Run, tmp_path: Path) -> None:
    (name, *_) = straight.checkpoints()
    encoder = load_encoder(str(export(straight, name, tmp_path / "model")), masked_lm=True)
    texts = [document.text for source in straight.recipe().corpus.validation for document in documents(source)]
    loaded = tokenizers.load_tokenizer(straight.tokenizer)
    from_stores = list(documents_of_stores(encoder, open_stores(straight.tokens("validation"), loaded), loaded))
    from_texts = list(documents_of_texts(encoder, texts))
    assert len(from_stores) == len(from_texts) > 3
    for stored, encoded in zip(from_stores, from_texts, strict=True):
        assert stored.ids.tolist() == encoded.ids.tolist()
        assert (stored.characters, stored.number) == (encoded.characters, encoded.number)
