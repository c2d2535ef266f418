"""The trap: a "▁" after a mask that no text has."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from anaume.encoder.load import Encoder
from anaume.errors import UserError
from anaume.evals.blanks import answer_ids, careful, continuation_ids, naive
from anaume.tokenizer.adapt import adapt_tokenizer

Unigram = Callable[[str], PreTrainedTokenizerFast]


def encoder_of(tokenizer: Any, max_length: int = 48) -> Encoder:
    return Encoder("none", tokenizer, None, max_length, torch.device("cpu"))


def pieces(tokenizer: Any, ids: Any) -> str:
    return " ".join(tokenizer.convert_ids_to_tokens(list(ids)))


@pytest.mark.parametrize(
    ("text", "with_trap", "without"),
    [
        ("吾輩は[MASK]である", "▁ 吾 輩 は [MASK] ▁である", "▁ 吾 輩 は [MASK] である"),
        ("[MASK]は首都", "[MASK] ▁は 首都", "[MASK] は 首都"),
        ("東京は[MASK]", "▁東京 は [MASK]", "▁東京 は [MASK]"),
        ("東京は[MASK]。", "▁東京 は [MASK] ▁ 。", "▁東京 は [MASK] 。"),
        ("[MASK][MASK]は", "[MASK] [MASK] ▁は", "[MASK] [MASK] は"),
        ("[MASK]は[MASK]である", "[MASK] ▁は [MASK] ▁である", "[MASK] は [MASK] である"),
        ("東京 is [MASK] now", "▁東京 ▁is ▁ [MASK] ▁ n o w", "▁東京 ▁is [MASK] ▁ n o w"),
    ],
)
def test_no_space_is_imagined_after_a_mask(unigram: Unigram, text: str, with_trap: str, without: str) -> None:
    tokenizer = unigram("always")
    counts = [1] * text.count("[MASK]")
    plain, right = (form(encoder_of(tokenizer), text, counts) for form in (naive, careful))
    assert list(plain.ids) == tokenizer(text)["input_ids"]
    assert pieces(tokenizer, plain.ids) == f"[CLS] {with_trap} [SEP]"
    assert pieces(tokenizer, right.ids) == f"[CLS] {without} [SEP]"
    for form in (plain, right):
        assert [i for i, token in enumerate(form.ids) if token == tokenizer.mask_token_id] == [*form.positions]


@pytest.mark.parametrize("prepend_scheme", ["always", "first", "never"])
@pytest.mark.parametrize(
    ("left", "word", "right"),
    [
        ("吾輩は", "東京", "である。"),
        ("", "東京", "は首都"),
        ("", "京都", "は古都"),
        ("東京 is ", "Paris", " now"),
    ],
)
def test_careful_is_the_text_with_its_word_hidden(
    unigram: Unigram, prepend_scheme: str, left: str, word: str, right: str
) -> None:
    """What pretraining shows: the ids of the whole text, one of them replaced by the mask."""
    tokenizer = unigram(prepend_scheme)
    lead, ids = answer_ids(tokenizer, left, word)
    form = careful(encoder_of(tokenizer), f"{left}[MASK]{right}", [len(ids)], lead)
    (place,) = form.positions
    whole = tokenizer(left + word + right)["input_ids"]
    assert [*form.ids[:place], *ids, *form.ids[place + 1 :]] == whole


@pytest.mark.parametrize("prepend_scheme", ["first", "never"])
def test_a_prefix_imagined_once_is_no_trap(unigram: Unigram, prepend_scheme: str) -> None:
    """Our own tokenizers put "▁" before a text, but not again after a mask."""
    tokenizer = unigram(prepend_scheme)
    for text in ("吾輩は[MASK]である。", "[MASK]は首都", "東京は[MASK]", "[MASK]は[MASK]"):
        form = careful(encoder_of(tokenizer), text, [1] * text.count("[MASK]"))
        assert list(form.ids) == tokenizer(text)["input_ids"]


@pytest.mark.parametrize("kind", ["wordpiece", "byte_level"])
@pytest.mark.parametrize(
    "text", ["吾輩は[MASK]である。", "[MASK]は首都", "京都は[MASK]。」", "is [MASK] now", "[MASK]"]
)
def test_without_the_trap_careful_is_plain(kind: str, text: str, request: pytest.FixtureRequest) -> None:
    tokenizer = request.getfixturevalue(kind)
    form = careful(encoder_of(tokenizer), text, [1])
    assert list(form.ids) == tokenizer(text)["input_ids"]
    assert form == naive(encoder_of(tokenizer), text, [1])


def test_placeholder_stands_for_the_models_own_mask(unigram: Unigram) -> None:
    tokenizer = unigram("first")
    other = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, unk_token="[UNK]", mask_token="首都", pad_token="[PAD]"
    )
    form = careful(encoder_of(other), "東京は[MASK]", [2])
    assert pieces(other, form.ids) == "[CLS] ▁東京 は 首都 首都 [SEP]"
    with pytest.raises(UserError, match=r"1 masks written as 首都; expected every blank written as \[MASK\]"):
        careful(encoder_of(other), "首都は[MASK]", [1])


def test_an_unknown_character_right_after_the_blank_survives(unigram: Unigram) -> None:
    tokenizer = unigram("always")  # no bytes to fall back on: the private-use sentinel is unknown, and 薔 too
    assert pieces(tokenizer, continuation_ids(tokenizer, "薔は")) == "[UNK] は"
    assert pieces(tokenizer, continuation_ids(tokenizer, "。")) == "。"
    assert continuation_ids(tokenizer, "") == []


@pytest.mark.parametrize(
    ("left", "answer", "lead", "ids"),
    [
        ("吾輩は", "東京", "", "東京"),
        ("吾輩は", "吾輩", "", "吾 輩"),
        ("", "東京", "", "▁東京"),  # exists with "▁"
        ("", "京都", "▁", "京都"),  # does not: the bare "▁" stays visible
        ("首都 is ", "Paris", "", "▁Paris"),
        ("首都 is ", "京都", "▁", "京都"),
    ],
)
def test_answers_have_the_ids_of_their_place(unigram: Unigram, left: str, answer: str, lead: str, ids: str) -> None:
    tokenizer = unigram("always")
    got = answer_ids(tokenizer, left, answer)
    assert (pieces(tokenizer, got[0]), pieces(tokenizer, got[1])) == (lead, ids)


def test_answers_of_other_tokenizers(wordpiece: Any, byte_level: Any, unigram: Unigram) -> None:
    assert pieces(wordpiece, answer_ids(wordpiece, "吾輩は", "東京は")[1]) == "東京 ##は"
    assert pieces(byte_level, answer_ids(byte_level, "The capital is ", "Paris")[1]) == "ĠParis"
    assert pieces(unigram("first"), answer_ids(unigram("first"), "吾輩は", "東京")[1]) == "東京"


def test_the_space_before_a_mask_is_dropped_where_the_mask_does_not_take_it(byte_level: Any) -> None:
    """A byte-level BPE whose mask lacks `lstrip` leaves "Ġ" before the mask, which no training text has."""
    plain_mask = AddedToken("[MASK]", lstrip=False, normalized=False, special=True)
    engine = Tokenizer.from_str(byte_level.backend_tokenizer.to_str())
    engine.add_special_tokens([plain_mask])
    other = PreTrainedTokenizerFast(
        tokenizer_object=engine, mask_token=plain_mask, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    text = "The capital is [MASK] now."
    assert "Ġ" in pieces(other, naive(encoder_of(other), text, [1]).ids).split()
    assert careful(encoder_of(other), text, [1]).ids == careful(encoder_of(byte_level), text, [1]).ids


@pytest.mark.parametrize("left", [0, 5, 60])
@pytest.mark.parametrize("right", [0, 5, 60])
def test_a_long_text_is_cut_around_its_blank(unigram: Unigram, left: int, right: int) -> None:
    tokenizer = unigram("always")
    text = "は" * left + "[MASK]" + "も" * right
    form = careful(encoder_of(tokenizer, 20), text, [2])
    whole = careful(encoder_of(tokenizer, 1000), text, [2])
    assert form.truncated == (left + right > 16)
    assert not whole.truncated
    assert len(form.ids) == min(20, len(whole.ids))
    assert (form.ids[0], form.ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
    assert [form.ids[p] for p in form.positions] == [tokenizer.mask_token_id] * 2
    if left == right == 60:
        assert form.positions == (9, 10)


def test_blanks_too_far_apart(unigram: Unigram) -> None:
    tokenizer = unigram("always")
    text = "[MASK]" + "は" * 10 + "[MASK]" + "も" * 30
    assert careful(encoder_of(tokenizer, 14), text, [1, 1]).positions == (1, 12)
    with pytest.raises(UserError, match="blanks 11 tokens apart; expected less than the 11 that none reads"):
        careful(encoder_of(tokenizer, 13), text, [1, 1])


def test_the_papers_tokenizer(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tokenizer"
    adapt_tokenizer(str(shared_data / "tokenizer" / "llm-jp-tokenizer-100k.ver3.0b1.model"), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    form = careful(encoder_of(tokenizer), "吾輩は[MASK]である。", [1])
    whole = tokenizer("吾輩は猫である。")["input_ids"]
    (place,) = form.positions
    assert form.ids[:place] == tuple(whole[:place])
    assert form.ids[place + 1 :] == tuple(whole[place + 1 :])
    assert answer_ids(tokenizer, "吾輩は", "猫") == ([], [whole[place]])
