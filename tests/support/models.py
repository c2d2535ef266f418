"""Tiny random models in ordinary Hugging Face folders, and tokenizers of each kind, made on the spot."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    BertConfig,
    BertForMaskedLM,
    ModernBertConfig,
    ModernBertForMaskedLM,
    PreTrainedTokenizerFast,
)

SPECIALS = ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"]
PLACES = ["東京", "京都", "大阪", "奈良", "札幌", "仙台", "横浜", "神戸", "福岡", "那覇"]
THINGS = ["首都", "古都", "港町", "県庁", "都市", "温泉", "寺院", "商店", "大学", "工場"]
POSITIONS = 48


def sentences(number: int, seed: int = 0) -> list[str]:
    """Different Japanese sentences of 8 to about 60 characters."""
    draw = random.Random(seed)
    made: dict[str, None] = {}
    while len(made) < number:
        parts = [f"{draw.choice(PLACES)}は{draw.choice(THINGS)}である。" for _ in range(draw.randint(1, 5))]
        made["".join(parts)] = None
    return list(made)


def wrap(engine: Tokenizer, **names: Any) -> PreTrainedTokenizerFast:
    ids = {token: engine.token_to_id(token) for token in ("[CLS]", "[SEP]")}
    engine.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=list(ids.items())
    )
    special: dict[str, Any] = {
        "unk_token": "[UNK]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": AddedToken("[MASK]", normalized=False, special=True),
    }
    names = {**special, **names, "model_max_length": POSITIONS}
    return PreTrainedTokenizerFast(tokenizer_object=engine, **names)


def unigram_tokenizer(prepend_scheme: str) -> PreTrainedTokenizerFast:
    """SentencePiece's kind: with `always` it has the trap, with `first` and `never` it has not.

    Half of the places exist with "▁" before them too, so both cases of a word at the start of a text occur.
    """
    words = [
        *PLACES,
        *THINGS,
        *(f"▁{place}" for place in PLACES[::2]),
        "である",
        "▁である",
        "▁は",
        "▁is",
        "▁Paris",
    ]
    characters = sorted(set("".join(words) + "。、今もnow吾輩猫"))
    pieces = [(token, 0.0) for token in SPECIALS]
    pieces += [(word, -5.0 - 0.01 * i) for i, word in enumerate(words)]
    pieces += [(c, -12.0 - 0.01 * i) for i, c in enumerate(characters)]
    engine = Tokenizer(models.Unigram(pieces, unk_id=0))
    engine.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme, split=False)
    engine.decoder = decoders.Metaspace(prepend_scheme=prepend_scheme, split=False)
    return wrap(engine, model_input_names=["input_ids", "attention_mask"])


def wordpiece_tokenizer() -> PreTrainedTokenizerFast:
    """BERT's kind, by the character, with token types."""
    characters = sorted(set("".join(PLACES + THINGS) + "はである。今も"))
    words = [*PLACES, *characters, *(f"##{c}" for c in characters)]
    vocabulary = {token: i for i, token in enumerate([*SPECIALS, *words])}
    engine = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece()
    return wrap(engine, model_input_names=["input_ids", "token_type_ids", "attention_mask"])


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """RoBERTa's and ModernBERT's kind; their mask swallows the space before it."""
    engine = Tokenizer(models.BPE())
    engine.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    engine.decoder = decoders.ByteLevel()
    mask = AddedToken("[MASK]", lstrip=True, normalized=False, special=True)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[*SPECIALS[:-1], mask],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    engine.train_from_iterator([*sentences(200), *["The capital is Paris now."] * 20], trainer)
    return wrap(engine, mask_token=mask)


@pytest.fixture(scope="session")
def unigram() -> Callable[[str], PreTrainedTokenizerFast]:
    made: dict[str, PreTrainedTokenizerFast] = {}

    def get(prepend_scheme: str) -> PreTrainedTokenizerFast:
        if prepend_scheme not in made:
            made[prepend_scheme] = unigram_tokenizer(prepend_scheme)
        return made[prepend_scheme]

    return get


@pytest.fixture(scope="session")
def modernbert_folder(
    tmp_path_factory: pytest.TempPathFactory, unigram: Callable[[str], PreTrainedTokenizerFast]
) -> Path:
    """A random ModernBERT with three layers, local windows of 8 tokens, and the tokenizer with the trap."""
    folder = tmp_path_factory.mktemp("models") / "tiny-modernbert"
    tokenizer = unigram("always")
    torch.manual_seed(0)
    config = ModernBertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=POSITIONS,
        local_attention=8,
        pad_token_id=1,
        cls_token_id=2,
        sep_token_id=3,
        bos_token_id=None,
        eos_token_id=None,
        initializer_range=0.5,
    )
    ModernBertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT, whose tokenizer returns token_type_ids."""
    folder = tmp_path_factory.mktemp("models") / "tiny-bert"
    tokenizer = wordpiece_tokenizer()
    torch.manual_seed(1)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        max_position_embeddings=POSITIONS,
        pad_token_id=1,
        initializer_range=0.5,
    )
    BertForMaskedLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def wordpiece() -> PreTrainedTokenizerFast:
    return wordpiece_tokenizer()


@pytest.fixture(scope="session")
def byte_level() -> PreTrainedTokenizerFast:
    return byte_level_tokenizer()


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def jglue_folder(tmp_path: Path) -> Path:
    return write_jglue(tmp_path / "jglue")


def write_jglue(folder: Path) -> Path:
    """A few rows of each task in the files that JGLUE and JCoLA publish, with JSTS's and JNLI's test splits."""
    texts = sentences(140)
    parts = {"train": slice(0, 80), "valid": slice(80, 110), "test": slice(110, 140)}
    for split, part in parts.items():
        firsts, seconds = texts[part], texts[part][::-1]
        pairs = [{"sentence1": a, "sentence2": b} for a, b in zip(firsts, seconds, strict=True)]
        similar = [{**row, "label": i % 26 / 5} for i, row in enumerate(pairs)]
        write_rows(folder / "jsts-v1.3" / f"{split}-v1.3.json", similar)
        names = ("contradiction", "entailment", "neutral")
        inferred = [{**row, "label": names[i % 3]} for i, row in enumerate(pairs)]
        write_rows(folder / "jnli-v1.3" / f"{split}-v1.3.json", inferred)
        choices = [
            {"q_id": i, "question": text, **{f"choice{c}": PLACES[(i + c) % 10] for c in range(5)}, "label": i % 5}
            for i, text in enumerate(firsts)
        ]
        write_rows(folder / "jcommonsenseqa-v1.3" / f"{split}-v1.3.json", choices)
        articles = [{"title": text[:2], "paragraphs": [_paragraph(text, i)]} for i, text in enumerate(firsts)]
        path = folder / "jsquad-v1.3" / f"{split}-v1.3.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"data": articles}, ensure_ascii=False), encoding="utf-8")
    domains = {"in_domain_train": "train", "in_domain_valid": "valid", "out_of_domain_valid": "test"}
    for name, split in domains.items():
        judged = [
            {"uid": i, "label": int("東京" in text), "sentence": text} for i, text in enumerate(texts[parts[split]])
        ]
        write_rows(folder / "jcola-v1.0" / f"{name}-v1.0.json", judged)
    for split in ("train", "valid"):
        reviews = [
            {"sentence": text, "label": ("negative", "positive")[i % 2]} for i, text in enumerate(texts[parts[split]])
        ]
        write_rows(folder / "marc_ja-v1.2" / f"{split}-v1.2.json", reviews)
    return folder


def _paragraph(text: str, number: int) -> dict[str, Any]:
    """A context with two questions, whose answers are its first two characters."""
    questions = [
        {"question": f"{word}は", "id": f"{number}-{word}", "answers": [{"text": text[:2], "answer_start": 0}]}
        for word in ("首都", "古都")
    ]
    return {"context": text, "qas": questions}
