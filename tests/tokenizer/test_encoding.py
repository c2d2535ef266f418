"""Encoding: both engines and `AutoTokenizer` give the same ids, and raw text never becomes a special id."""

import gzip
import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from anaume.corpus.readers import documents
from anaume.corpus.source import Source
from anaume.tokenizer.load import Tokenizer

from .engines import AWKWARD, hugging_face, plain

SPECIAL_TEXTS = ["<s>", "</s>です", "<unk>", "<MASK>", "a<MASK|LLM-jp>b", "<PAD|LLM-jp>", "x<MASK|anaume> y"]


@pytest.fixture(params=["paper", "trained"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    fixture: Tokenizer = request.getfixturevalue(request.param)
    return fixture


def test_the_papers_tokenizer(paper: Tokenizer) -> None:
    auto = hugging_face(paper.folder)
    assert auto("こんにちは")["input_ids"] == [5, 39801, 6]
    assert len(auto) == paper.vocab_size == 99_574
    assert auto.tokenize("a", "b", add_special_tokens=True) == [
        "<CLS|LLM-jp>", "▁a", "<SEP|LLM-jp>", "▁b", "<SEP|LLM-jp>"
    ]  # fmt: skip
    assert (paper.mask_id, paper.pad_id, paper.cls_id, paper.sep_id, paper.unk_id) == (3, 4, 5, 6, 0)
    assert paper.special_ids == tuple(range(8))


def test_auto_tokenizer_opens_the_folder(tokenizer: Tokenizer) -> None:
    auto = hugging_face(tokenizer.folder)
    assert set(auto("東京", "大阪")) == {"input_ids", "attention_mask"}
    assert auto.model_max_length == 8192
    assert len(auto) == tokenizer.vocab_size
    ids = (auto.mask_token_id, auto.pad_token_id, auto.cls_token_id, auto.sep_token_id, auto.unk_token_id)
    assert ids == (tokenizer.mask_id, tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id, tokenizer.unk_id)
    padded = auto(["東京", "東京都の人口"], padding=True)["input_ids"]
    assert padded[0][-1] == tokenizer.pad_id


def test_no_prefix_follows_a_mask(tokenizer: Tokenizer) -> None:
    auto = hugging_face(tokenizer.folder)
    mask = auto.mask_token
    assert "".join(auto.tokenize(f"東京{mask}の人口")) == f"▁東京{mask}の人口"
    assert "".join(auto.tokenize(f"{mask}の人口")) == f"{mask}の人口"
    assert "".join(auto.tokenize(f"東京{mask} の人口")) == f"▁東京{mask}▁の人口"


@pytest.mark.parametrize("name", AWKWARD)
def test_all_engines_agree_on_awkward_strings(tokenizer: Tokenizer, name: str) -> None:
    text = AWKWARD[name]
    assert tokenizer.engine == "sentencepiece"
    (ids,) = tokenizer.encode([text])
    assert ids.dtype == np.uint32
    assert plain(tokenizer.folder).encode(text, add_special_tokens=False).ids == ids.tolist()
    assert not set(ids.tolist()) & set(tokenizer.special_ids)
    auto = hugging_face(tokenizer.folder)
    assert auto(text, verbose=False)["input_ids"] == [tokenizer.cls_id, *ids.tolist(), tokenizer.sep_id]
    assert auto.decode([tokenizer.cls_id, *ids.tolist()], skip_special_tokens=True) == text.replace("▁", " ")


@pytest.mark.parametrize("text", SPECIAL_TEXTS)
def test_raw_text_never_becomes_a_special_id(tokenizer: Tokenizer, text: str) -> None:
    (ids,) = tokenizer.encode([text])
    assert not set(ids.tolist()) & set(tokenizer.special_ids)
    auto = hugging_face(tokenizer.folder)
    assert auto.decode(ids.tolist()) == text
    assert auto(text, add_special_tokens=False, split_special_tokens=True)["input_ids"] == ids.tolist()


def test_engines_agree_on_real_text(paper: Tokenizer, shared_data: Path) -> None:
    files = sorted((shared_data / "corpus" / "validation").glob("*.jsonl.gz"))
    lines = [line for file in files for line in gzip.decompress(file.read_bytes()).splitlines()]
    texts = [json.loads(line)["text"] for line in lines]
    engine = plain(paper.folder)
    assert len(texts) == 146
    for text, ids in zip(texts, paper.encode(texts), strict=True):
        assert engine.encode(text, add_special_tokens=False).ids == ids.tolist()


def test_engines_agree_on_every_eighth_document_of_the_training_corpus(paper: Tokenizer, shared_data: Path) -> None:
    """One document in eight, because `tokenizers` needs half a minute for the whole corpus."""
    source = Source.model_validate({"path": str(shared_data / "corpus" / "train" / "*.jsonl.gz")})
    texts = [document.text for document in islice(documents(source), 0, None, 8)]
    assert len(texts) == 1291
    for begin in range(0, len(texts), 100):
        batch = texts[begin : begin + 100]
        encodings = plain(paper.folder).encode_batch_fast(batch, add_special_tokens=False)
        for encoding, ids in zip(encodings, paper.encode(batch), strict=True):
            assert encoding.ids == ids.tolist()


def test_texts_are_encoded_alike_alone_and_together(tokenizer: Tokenizer) -> None:
    texts = list(AWKWARD.values())
    together = tokenizer.encode(texts)
    for text, ids in zip(texts, together, strict=True):
        np.testing.assert_array_equal(tokenizer.encode([text])[0], ids)
    assert tokenizer.encode([]) == []


def test_composed_and_decomposed_characters_stay_apart(tokenizer: Tokenizer) -> None:
    composed, decomposed = tokenizer.encode([AWKWARD["composed"], AWKWARD["decomposed"]])
    assert composed.tolist() != decomposed.tolist()


def test_characters_without_a_piece_become_bytes(paper: Tokenizer) -> None:
    text = "ꙮ𒀀\U0010fffe"
    (ids,) = paper.encode([text])
    assert bytes(int(i) - 8 for i in ids[1:]) == text.encode()  # ids 8 to 263 are the bytes; the first is the prefix


def test_engines_agree_on_the_training_corpus_of_the_tokenizer(trained: Tokenizer, corpus: Source) -> None:
    texts = [document.text for document in documents(corpus)]
    engine = plain(trained.folder)
    for text, ids in zip(texts, trained.encode(texts), strict=True):
        assert engine.encode(text, add_special_tokens=False).ids == ids.tolist()
