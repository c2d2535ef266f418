"""The door to Hugging Face encoders: embeddings of sentence-transformers, logits of transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
)

from anaume.encoder.embed import embed, embed_counted
from anaume.encoder.load import check_names, load_encoder, special_ids
from anaume.encoder.logits import logits_at
from anaume.encoder.states import batches_by_length, hidden_states
from anaume.encoder.tokenize import tokenize
from anaume.errors import UserError

from ..support.models import sentences

TEXTS = [
    "東京は首都である。",
    "京都",
    "大阪は商店である。奈良は寺院である。",
    "札幌は温泉である。" * 12,
    "神戸は港町",
]


@pytest.mark.parametrize("folder", ["modernbert_folder", "bert_folder"])
@pytest.mark.parametrize("masked_lm", [True, False])
def test_embed_is_sentence_transformers_mean_pooling(
    folder: str, masked_lm: bool, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(folder)
    expected = SentenceTransformer(str(path), device="cpu").encode(TEXTS, convert_to_tensor=True)
    got = embed(load_encoder(str(path), masked_lm=masked_lm), TEXTS, batch_tokens=64)
    assert got.shape == (len(TEXTS), 32)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    assert (expected[0] - expected[1]).abs().max() > 0.1  # the texts do differ: equality says something


def test_batches_do_not_change_the_numbers(modernbert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_encoder(str(modernbert_folder), masked_lm=False)
    whole = embed(encoder, TEXTS)
    assert torch.equal(whole, embed(encoder, TEXTS))
    torch.testing.assert_close(embed(encoder, TEXTS, batch_tokens=1), whole, atol=1e-5, rtol=0)
    monkeypatch.setattr("anaume.encoder.embed.TEXTS_AT_ONCE", 2)
    torch.testing.assert_close(embed(encoder, TEXTS), whole, atol=1e-5, rtol=0)
    assert embed(encoder, []).shape == (0, 32)


@pytest.mark.parametrize("folder", ["modernbert_folder", "bert_folder"])
def test_truncation_is_the_tokenizers_and_counted(folder: str, request: pytest.FixtureRequest) -> None:
    encoder = load_encoder(str(request.getfixturevalue(folder)), masked_lm=False)
    assert encoder.max_length == 48
    tokenized = tokenize(encoder, TEXTS)
    assert tokenized.rows == encoder.tokenizer(TEXTS, truncation=True, max_length=48)["input_ids"]
    assert tokenized.truncated == 1
    assert embed_counted(encoder, TEXTS).truncated == 1


@pytest.mark.parametrize("folder", ["modernbert_folder", "bert_folder"])
@pytest.mark.parametrize("batch_tokens", [1, 100, 8192])
def test_hidden_states_are_those_of_the_padded_model(
    folder: str, batch_tokens: int, request: pytest.FixtureRequest
) -> None:
    """ModernBERT runs on packed rows here, transformers' own model on one padded batch with sdpa."""
    path = str(request.getfixturevalue(folder))
    encoder = load_encoder(path, masked_lm=True)
    rows = tokenize(encoder, [*sentences(20), *TEXTS, ""]).rows
    assert len({len(row) for row in rows}) > 8
    plain = AutoModel.from_pretrained(path, attn_implementation="sdpa").eval()
    ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=1)
    mask = torch.arange(ids.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
    with torch.inference_mode():
        expected = plain(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    seen = []
    for hidden in hidden_states(encoder, rows, batch_tokens=batch_tokens):
        seen += hidden.rows
        assert hidden.lengths == [len(rows[i]) for i in hidden.rows]
        for row, states in zip(hidden.rows, hidden.states.split(hidden.lengths), strict=True):
            torch.testing.assert_close(states, expected[row, : len(states)], atol=1e-5, rtol=0)
    assert sorted(seen) == list(range(len(rows)))
    assert encoder.model.config._attn_implementation == plain.config._attn_implementation


def test_batches_stay_within_the_budget() -> None:
    lengths = [3, 50, 7, 7, 1, 12, 3]
    batches = list(batches_by_length(lengths, 24))
    assert sorted(i for batch in batches for i in batch) == list(range(7))
    assert batches[0] == [1]  # longer than the budget: alone
    assert all(len(b) * max(lengths[i] for i in b) <= 24 for b in batches[1:])
    assert batches == [[1], [5, 2], [3, 0, 6], [4]]
    assert list(batches_by_length(lengths, 24, packed=True)) == [[1], [5, 2], [3, 0, 6, 4]]


@pytest.mark.parametrize("folder", ["modernbert_folder", "bert_folder"])
def test_logits_are_those_of_the_plain_model(folder: str, request: pytest.FixtureRequest) -> None:
    path = str(request.getfixturevalue(folder))
    encoder = load_encoder(path, masked_lm=True)
    rows = tokenize(encoder, TEXTS).rows
    positions = [[1], [0, 2], [3, 1, 4], [47], [2]]
    got = dict(logits_at(encoder, rows, positions, batch_tokens=60))
    model = AutoModelForMaskedLM.from_pretrained(path).eval()
    seen: list[int] = []
    encoder.model.get_output_embeddings().register_forward_hook(lambda _, __, out: seen.append(out[..., 0].numel()))
    again = dict(logits_at(encoder, rows, positions, batch_tokens=60))
    assert sum(seen) == 8  # no logits but the wanted ones
    for i, (row, places) in enumerate(zip(rows, positions, strict=True)):
        assert torch.equal(again[i], got[i])
        with torch.no_grad():
            expected = model(torch.tensor([row])).logits[0, places]
        torch.testing.assert_close(got[i], expected, atol=1e-4, rtol=0)


def test_two_models_of_one_name(modernbert_folder: Path, tmp_path: Path) -> None:
    (tmp_path / modernbert_folder.name).mkdir()
    check_names([str(modernbert_folder), "owner/tiny-modernbert"])
    with pytest.raises(UserError, match="two models are called 'tiny-modernbert'"):
        check_names([str(modernbert_folder), str(tmp_path / modernbert_folder.name)])


def test_special_ids(modernbert_folder: Path) -> None:
    assert special_ids(load_encoder(str(modernbert_folder), masked_lm=True).tokenizer) == ((2,), (3,))


def test_roberta_positions_start_behind_the_padding_index(tmp_path: Path, wordpiece: PreTrainedTokenizerFast) -> None:
    config = RobertaConfig(
        vocab_size=200, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, max_position_embeddings=20
    )
    RobertaModel(config).save_pretrained(tmp_path)
    limitless = PreTrainedTokenizerFast(tokenizer_object=wordpiece.backend_tokenizer, pad_token="[PAD]")
    limitless.save_pretrained(tmp_path)
    assert load_encoder(str(tmp_path), masked_lm=False).max_length == 18


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    for name in (str(tmp_path / "absent"), "./absent", "a/b/c"):
        with pytest.raises(UserError, match="no such folder"):
            load_encoder(name, masked_lm=False)
    with pytest.raises(UserError, match=r"holds no config\.json"):
        load_encoder(str(tmp_path), masked_lm=False)


def test_a_model_that_cannot_fill_masks(tmp_path: Path, modernbert_folder: Path) -> None:
    AutoModel.from_pretrained(modernbert_folder).save_pretrained(tmp_path / "headless")
    tokenizer: Any = AutoTokenizer.from_pretrained(modernbert_folder)
    tokenizer.save_pretrained(tmp_path / "headless")
    with pytest.raises(UserError, match="lacks weights of a masked language model"):
        load_encoder(str(tmp_path / "headless"), masked_lm=True)
    assert load_encoder(str(tmp_path / "headless"), masked_lm=False).name == "headless"
    AutoModelForMaskedLM.from_pretrained(modernbert_folder).save_pretrained(tmp_path / "maskless")
    tokenizer.mask_token = None
    tokenizer.save_pretrained(tmp_path / "maskless")
    with pytest.raises(UserError, match="no mask token"):
        load_encoder(str(tmp_path / "maskless"), masked_lm=True)


@pytest.mark.parametrize("folder", ["modernbert_folder", "bert_folder"])
def test_weights_of_a_training_that_diverged(folder: str, request: pytest.FixtureRequest) -> None:
    """NaN is neither more nor less than anything, so a metric could make the best of it."""
    opened = load_encoder(str(request.getfixturevalue(folder)), masked_lm=True)
    with torch.no_grad():
        opened.model.base_model.embeddings.get_parameter("norm.weight" if "modern" in folder else "LayerNorm.weight")[
            0
        ] = torch.nan
    message = f"{opened.name}: gives NaN; expected numbers"
    with pytest.raises(UserError, match=message):
        embed(opened, ["京都"])
    with pytest.raises(UserError, match=message):
        list(logits_at(opened, [[1, 2, 3]], [[1]]))
