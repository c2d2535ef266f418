"""Entities: labels from characters and back, windows, tokenizers that end their pieces at every border, training."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertJapaneseTokenizer,
    PreTrainedTokenizerFast,
    pipeline,
)

from anaume.finetune.borders import PATTERNS, Split, split_tokenizer
from anaume.finetune.entities import (
    IGNORED,
    ceiling,
    decode,
    encode_entities,
    label_names,
    predicted_entities,
    token_labels,
)
from anaume.finetune.examples import Entity, Example, Head
from anaume.finetune.items import Encoded
from anaume.finetune.network import build_network, logits, loss_of
from anaume.finetune.train import Settings, predict, train
from anaume.model.attention import PACKED

from ..support.models import PLACES, THINGS, sentences

CPU = torch.device("cpu")
TYPES = ("地名", "物")
HEAD = Head("entities", "tokens", 5, label_names(TYPES))
SPLITS: tuple[Split, ...] = ("none", "scripts", "kanji", "characters")


def example(text: str, *marks: tuple[int, int, str]) -> Example:
    return Example((text,), entities=tuple(Entity(*mark) for mark in marks))


def marked(texts: Sequence[str]) -> list[Example]:
    """Texts whose places and things are marked."""
    names = {**dict.fromkeys(PLACES, "地名"), **dict.fromkeys(THINGS, "物")}
    return [
        example(text, *((i, i + 2, names[text[i : i + 2]]) for i in range(len(text)) if text[i : i + 2] in names))
        for text in texts
    ]


def cut_within_pieces(number: int, seed: int = 0) -> list[Example]:
    """Texts with entities of one to five characters anywhere."""
    chance = random.Random(seed)
    examples = []
    for text in sentences(number, seed):
        marks, place = [], 0
        while (start := place + chance.randint(0, 3)) < len(text) - 5:
            place = start + chance.randint(1, 5)
            marks.append((start, place, chance.choice(TYPES)))
        examples.append(example(text, *marks))
    return examples


@pytest.fixture(params=["unigram always", "unigram first", "unigram never", "wordpiece", "byte_level"])
def tokenizer(
    request: pytest.FixtureRequest,
    unigram: Callable[[str], PreTrainedTokenizerFast],
    wordpiece: PreTrainedTokenizerFast,
    byte_level: PreTrainedTokenizerFast,
) -> PreTrainedTokenizerFast:
    kind, _, scheme = str(request.param).partition(" ")
    return unigram(scheme) if scheme else {"wordpiece": wordpiece, "byte_level": byte_level}[kind]


def test_labels_of_tokens() -> None:
    """Tokens of several characters, three bytes of one character, and a "▁" that stands for no character."""
    entities = [Entity(0, 2, "地名"), Entity(2, 3, "地名"), Entity(4, 7, "物")]
    characters = [(0, 0), (0, 1), (1, 2), (2, 3), (2, 3), (2, 3), (3, 4), (4, 6), (6, 9)]
    #                ▁       東      京      < three bytes of 都 >       は     half of two names, a third of the last
    assert token_labels(characters, entities, TYPES) == [1, 2, 2, 1, 2, 2, 0, 3, 0]
    assert token_labels(characters, entities, ("物",)) == [0] * 7 + [1, 0]


@pytest.mark.parametrize(
    ("labels", "spans"),
    [
        ([0, 1, 2, 2, 0], [(1, 4, "地名")]),
        ([1, 1, 2, 0, 0], [(0, 1, "地名"), (1, 3, "地名")]),
        ([2, 2, 0, 4, 4], [(0, 2, "地名"), (3, 5, "物")]),  # I after O begins an entity
        ([1, 4, 2, 0, 0], [(0, 1, "地名"), (1, 2, "物"), (2, 3, "地名")]),
    ],
)
def test_decoding_by_hand(labels: list[int], spans: list[tuple[int, int, str]]) -> None:
    characters = [(i, i + 1) for i in range(5)]
    assert decode(labels, characters, TYPES) == tuple(Entity(*span) for span in spans)


@pytest.mark.parametrize("split", SPLITS)
def test_scores_are_of_what_the_pipeline_returns(split: Split, modernbert_folder: Path, tmp_path: Path) -> None:
    """A random network, so that every sequence of labels occurs; the folder is opened anew."""
    torch.manual_seed(0)
    network = build_network(str(modernbert_folder), HEAD, CPU)
    divided = split_tokenizer(AutoTokenizer.from_pretrained(modernbert_folder), split)
    network.save_pretrained(tmp_path)
    divided.save_pretrained(tmp_path)
    examples = marked([text[:30] for text in sentences(20)])
    encoded = encode_entities(divided, examples, TYPES, 48)
    ours = predicted_entities(encoded, predict(network, "tokens", encoded.items), TYPES)
    tagger: Any = pipeline("token-classification", str(tmp_path), aggregation_strategy="simple", device="cpu")
    theirs = [tagger(each.texts[0]) for each in examples]
    assert [[(e.start, e.end, e.type) for e in entities] for entities in ours] == [
        [(e["start"], e["end"], e["entity_group"]) for e in entities] for entities in theirs
    ]
    assert sum(map(len, ours)) > 20
    assert network.config.id2label == {0: "O", 1: "B-地名", 2: "I-地名", 3: "B-物", 4: "I-物"}


@pytest.mark.parametrize("split", ["kanji", "characters"])
def test_an_entity_may_begin_and_end_at_every_kanji(split: Split, tokenizer: PreTrainedTokenizerFast) -> None:
    examples = [
        example(text, *((i, i + 1, "物") for i in range(len(text)) if text[i] not in "である。"))
        for text in sentences(40)
    ]
    overall, by_type = ceiling(encode_entities(split_tokenizer(tokenizer, split), examples, TYPES, 512), TYPES)
    assert (overall, by_type) == (1.0, {"物": 1.0, "地名": 1.0})


def test_the_ceiling_counts_what_plain_pieces_lose(unigram: Callable[[str], PreTrainedTokenizerFast]) -> None:
    """Of the four entities, pieces 東京 and である give back the first and the third."""
    texts = [example("東京は首都である。", (0, 2, "地名"), (3, 4, "物"), (5, 8, "物")), example("大阪", (0, 1, "地名"))]
    plain = unigram("never")
    assert ceiling(encode_entities(plain, texts, TYPES, 48), TYPES) == (0.5, {"地名": 0.5, "物": 0.5})
    assert ceiling(encode_entities(split_tokenizer(plain, "characters"), texts, TYPES, 48), TYPES)[0] == 1.0


@pytest.mark.parametrize("split", PATTERNS)
def test_a_split_tokenizer_stays_an_ordinary_one(
    split: Split, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Vocabulary, special tokens and lengths stay, and the saved tokenizer gives the ids of the one in memory."""
    divided = split_tokenizer(tokenizer, split)
    divided.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.special_tokens_map == tokenizer.special_tokens_map
    assert again.model_max_length == tokenizer.model_max_length
    assert again.model_input_names == tokenizer.model_input_names
    for text in (*sentences(10), "Paris is now[MASK]京都の首都"):
        ids = divided(text)["input_ids"]
        assert again(text)["input_ids"] == ids
        assert ids[0] == tokenizer.cls_token_id
        assert ids[-1] == tokenizer.sep_token_id
        assert ids.count(tokenizer.mask_token_id) == text.count("[MASK]")
    assert (
        len(divided("東京の首都")["input_ids"]) > (split != "scripts") * len(tokenizer("東京の首都")["input_ids"]) - 1
    )


def test_a_tokenizer_without_pieces_to_split_stays(tmp_path: Path, wordpiece: PreTrainedTokenizerFast) -> None:
    words = sorted(wordpiece.get_vocab(), key=wordpiece.get_vocab().__getitem__)
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    slow = BertJapaneseTokenizer(str(tmp_path / "vocab.txt"), word_tokenizer_type="basic")
    assert split_tokenizer(slow, "kanji") is slow
    assert split_tokenizer(wordpiece, "none") is wordpiece
    encoded = encode_entities(slow, marked(sentences(5)), TYPES, 24)
    assert ceiling(encoded, TYPES)[0] == 1.0


@pytest.mark.parametrize("length", [9, 16, 33])
def test_windows_lose_nothing(length: int, tokenizer: PreTrainedTokenizerFast) -> None:
    """Entities across the cuts too."""
    examples = cut_within_pieces(12)
    divided = split_tokenizer(tokenizer, "characters")
    encoded = encode_entities(divided, examples, TYPES, length)
    whole = encode_entities(divided, examples, TYPES, 512)
    assert max(len(item.rows[0].ids) for item in encoded.items) <= length
    assert encoded.truncated == sum(len(item.rows[0].ids) > length for item in whole.items) > 5
    assert len(encoded.items) > len(examples)
    assert ceiling(encoded, TYPES)[0] == ceiling(whole, TYPES)[0] == 1.0


def test_a_token_of_two_windows_is_labelled_by_the_one_that_sees_more_around_it(
    wordpiece: PreTrainedTokenizerFast,
) -> None:
    text = "東京は首都である。京都は古都である。"
    encoded = encode_entities(wordpiece, [example(text)], TYPES, 12)
    starts = [window.begin for window in encoded.windows]
    assert starts[:3] == [0, 5, 10]
    outputs = []
    for number, item in enumerate(encoded.items):
        scores = np.zeros((len(item.rows[0].ids), 5), np.float32)
        scores[:, 1 if number % 2 else 3] = 1  # every token begins an entity, whose type tells the window
        outputs.append(scores)
    kinds = [entity.type for entity in predicted_entities(encoded, outputs, TYPES)[0]]
    assert kinds[:13] == ["物"] * 8 + ["地名"] * 5  # tokens 5 to 9 are in both: three stay with the first window


def test_special_tokens_have_no_label(tokenizer: PreTrainedTokenizerFast) -> None:
    for item in encode_entities(tokenizer, marked(sentences(5)), TYPES, 16).items:
        ids = item.rows[0].ids
        assert [label == IGNORED for label in item.target] == [i in (ids[0], ids[-1]) for i in ids]


def encoded(folder: Path, number: int = 40) -> Encoded:
    return encode_entities(AutoTokenizer.from_pretrained(folder), marked(sentences(number)), TYPES, 48)


@pytest.mark.parametrize("name", ["modernbert_folder", "bert_folder"])
def test_logits_loss_and_gradients_are_those_of_transformers(name: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(name)
    items = encoded(folder).items[:9]
    torch.manual_seed(3)
    mine = build_network(str(folder), HEAD, CPU).eval()
    torch.manual_seed(3)
    theirs = AutoModelForTokenClassification.from_pretrained(folder, num_labels=5).eval()
    assert (mine.config._attn_implementation == PACKED) is (mine.config.model_type == "modernbert")
    rows = [item.rows[0] for item in items]
    features: dict[str, Any] = {"input_ids": [row.ids for row in rows]}
    if rows[0].types is not None:
        features["token_type_ids"] = [row.types for row in rows]
    inputs = dict(AutoTokenizer.from_pretrained(folder).pad(features, return_tensors="pt"))
    longest = inputs["input_ids"].shape[1]
    targets = torch.tensor([[*item.target, *[IGNORED] * (longest - len(item.target))] for item in items]).long()
    expected = theirs(**inputs, labels=targets)
    got = logits(mine, "tokens", rows)
    torch.testing.assert_close(got, expected.logits[inputs["attention_mask"].bool()], atol=1e-4, rtol=0)
    loss = loss_of("tokens", got, items)
    torch.testing.assert_close(loss, expected.loss, atol=1e-5, rtol=0)
    loss.backward()
    expected.loss.backward()
    for (weight_name, weight), other in zip(mine.named_parameters(), theirs.parameters(), strict=True):
        if weight.grad is not None:
            torch.testing.assert_close(weight.grad, other.grad, atol=1e-4, rtol=1e-3, msg=weight_name)


@pytest.mark.slow
def test_it_learns_and_keeps_its_whole_vocabulary(modernbert_folder: Path, tmp_path: Path) -> None:
    divided = split_tokenizer(AutoTokenizer.from_pretrained(modernbert_folder), "kanji")
    examples = marked([text[:30] for text in sentences(80)])
    split = encode_entities(divided, examples, TYPES, 48)
    network = train(str(modernbert_folder), HEAD, {"train": split}, Settings(4e-3, 20, 0), CPU, whole=True)
    predictions = predicted_entities(split, predict(network, "tokens", split.items), TYPES)
    right = sum(len({*p} & {*e.entities}) for p, e in zip(predictions, examples, strict=True))
    assert right > 0.9 * sum(len(e.entities) for e in examples)
    network.save_pretrained(tmp_path)
    divided.save_pretrained(tmp_path)
    reopened = AutoModelForTokenClassification.from_pretrained(tmp_path)
    before = AutoModelForTokenClassification.from_pretrained(modernbert_folder).get_input_embeddings().weight
    after = reopened.get_input_embeddings().weight
    used = sorted({i for item in split.items for i in item.rows[0].ids})
    unused = [i for i in range(len(before)) if i not in used]
    assert torch.equal(after[unused], before[unused])
    assert not torch.equal(after[used], before[used])
    tagger: Any = pipeline("token-classification", str(tmp_path), aggregation_strategy="simple", device="cpu")
    assert [(e["start"], e["end"], e["entity_group"]) for e in tagger(examples[0].texts[0])] == [
        (e.start, e.end, e.type) for e in predictions[0]
    ]
