"""Any text through an adapted tokenizer: SentencePiece, the token store and AutoTokenizer read the same ids."""

from dataclasses import dataclass
from typing import Any

import pytest
import sentencepiece
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.text.strategies import texts

from anaume.tokenizer.adapt import adapt_tokenizer
from anaume.tokenizer.auto import open_auto_tokenizer
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.unigram import SPACE

from ...tokenizer.engines import sentencepiece_model

SPECIAL = ("[MASK]", "[PAD]", "[CLS]", "[SEP]")
IDENTITY = {"normalization_rule_name": "identity", "remove_extra_whitespaces": False}
# Models that normalise nothing, with bytes for unknown characters or without.
MODELS: dict[str, dict[str, Any]] = {
    "bytes": IDENTITY,
    "unknown": {**IDENTITY, "byte_fallback": False},
    "no prefix": {**IDENTITY, "add_dummy_prefix": False},
    "spaces": {"normalization_rule_name": "identity"},
}


@dataclass(frozen=True)
class Engines:
    """One tokenizer as each library opens it."""

    reference: sentencepiece.SentencePieceProcessor
    tokenizer: Tokenizer
    auto: Any


@pytest.fixture(scope="module", params=MODELS)
def engines(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Engines:
    folder = tmp_path_factory.mktemp("engines")
    model = sentencepiece_model(folder / "a.model", control_symbols=list(SPECIAL), **MODELS[request.param])
    adapt_tokenizer(str(model), folder / "out")
    reference = sentencepiece.SentencePieceProcessor(str(model))
    return Engines(reference, load_tokenizer(folder / "out"), open_auto_tokenizer(folder / "out"))


@given(text=texts())
def test_all_libraries_read_the_same_ids(engines: Engines, text: str) -> None:
    """Special tokens that the text spells are ordinary characters, and unknown ones are counted."""
    tokenizer = engines.tokenizer
    (ids,) = tokenizer.encode([text])
    assert ids.tolist() == engines.reference.encode(text)
    assert not {*ids.tolist()} & {*tokenizer.special_ids} - {tokenizer.unk_id}
    assert tokenizer.count_unknown(ids) == ids.tolist().count(engines.reference.unk_id())
    if not any(name in text for name in engines.auto.all_special_tokens):
        assert engines.auto(text, verbose=False)["input_ids"] == [tokenizer.cls_id, *ids, tokenizer.sep_id]


@given(text=texts())
def test_pieces_join_to_the_text(trained: Tokenizer, text: str) -> None:
    """Pieces of bytes are the bytes of UTF-8, and the mark of a space is a space."""
    (ids,) = trained.encode([text])
    joined = b""
    for piece in (trained.pieces[i] for i in ids):
        is_byte = len(piece) == 6 and piece.startswith("<0x")
        joined += bytes([int(piece[3:5], 16)]) if is_byte else piece.encode()
    assert joined.decode().replace(SPACE, " ") == " " + text.replace(SPACE, " ") if text else not joined


@given(every=st.lists(texts(), max_size=4))
def test_a_text_has_its_ids_in_any_company(trained: Tokenizer, every: list[str]) -> None:
    apart = [trained.encode([text])[0].tolist() for text in every]
    assert [ids.tolist() for ids in trained.encode(every)] == apart
    assert [ids.tolist() for ids in trained.encode([*reversed(every)])] == apart[::-1]
