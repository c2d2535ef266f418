"""Needle in a haystack: fake models that read a known part of a document fill exactly the cells of that part."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor

from anaume.encoder.load import Encoder
from anaume.encoder.pooling import Pooling
from anaume.errors import UserError
from anaume.evals.needle import retrieval
from anaume.evals.needle.cells import DEPTHS, DepthScore, metrics_of
from anaume.evals.needle.cloze import measure_cloze
from anaume.evals.needle.facts import draw_facts, keys_pattern, kinds, most_facts
from anaume.evals.needle.haystack import bury, draw_fillers, longest_that_fits
from anaume.evals.needle.task import evaluate, lengths_of, prepare
from anaume.evals.task import Request
from anaume.evals.tasks import NeedleOptions

from ...support.models import SPECIALS, wrap

TEXTS = ["".join(f"その話は{a}と{b}の章で述べてある。" for b in range(100, 300)) for a in range(10, 40)]


def characters_encoder(network: Callable[[Tensor], Tensor], positions: int = 1024) -> Encoder:
    """An encoder whose tokens are characters."""
    facts = [fact for kind in kinds() for _ in range(40) for fact in draw_facts(kind, most_facts(), Random(_))]
    alphabet = sorted(set("".join([*TEXTS, *(f.value + f.statement + f.query for f in facts), "である。あ"])))
    engine = Tokenizer(models.WordLevel({token: i for i, token in enumerate([*SPECIALS, *alphabet])}, "[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    model = SimpleNamespace(get_output_embeddings=lambda: None)

    class Model(SimpleNamespace):
        def __call__(self, input_ids: Tensor, **_: Any) -> SimpleNamespace:
            return SimpleNamespace(logits=network(input_ids))

    return Encoder("fake", wrap(engine), Model(**vars(model)), positions, torch.device("cpu"))


def copies_within(distance: int, tokenizer: Any) -> Callable[[Tensor], Tensor]:
    """A network that copies to a mask what followed the same words at most `distance` tokens before."""
    mask, end = tokenizer.mask_token_id, tokenizer.convert_tokens_to_ids("。")

    def network(ids: Tensor) -> Tensor:
        logits = torch.zeros(*ids.shape, len(tokenizer))
        for r, row in enumerate(ids.tolist()):
            for p in [p for p, token in enumerate(row) if token == mask]:
                begin = max(i for i in range(p) if row[i] == end) + 1
                width = next(i for i in range(begin, p + 1) if row[i] == mask) - begin
                for q in range(max(1, begin - distance), begin - width):
                    if row[q : q + width] == row[begin : begin + width]:
                        logits[r, p, row[q + p - begin]] = 1.0
        return logits

    return network


def test_a_needle_is_at_its_depth_and_nothing_else_changes() -> None:
    sentences, tokens = ["aaaa", "bb", "cccccc", "dddd"], [4, 2, 6, 4]
    assert bury(sentences, tokens, {0.0: "X", 0.25: "Y", 0.5: "Z", 1.0: "W"}) == "XaaaaYbbZccccccddddW"
    assert bury(sentences, tokens, {0.75: "X"}) == "aaaabbccccccXdddd"
    assert bury(sentences, tokens, {}) == "aaaabbccccccdddd"


def test_the_largest_number_of_sentences_that_really_fits() -> None:
    asked: list[int] = []

    def encode(count: int) -> str | None:
        asked.append(count)
        return "x" * count if count < 3 else None

    assert longest_that_fits([5, 5, 5, 5, 5], 22, encode, "texts") == "xx"
    assert asked == [4, 3, 2]
    with pytest.raises(UserError, match=r"^texts: 25 tokens in whole sentences; expected 26 or more for a document$"):
        longest_that_fits([5, 5, 5, 5, 5], 26, encode, "texts")


def test_fillers_are_sentences_that_name_no_key() -> None:
    texts = [
        "庭に大きな木が一本ある。青森県の話をここで述べる。「それはとても面白い。」と言った。切れた文には終わりがな"
    ]
    assert draw_fillers(texts, 1, 512, 0) == [["庭に大きな木が一本ある。", "「それはとても面白い。」"]]
    assert draw_fillers(TEXTS, 3, 600, 1) == draw_fillers(TEXTS, 3, 600, 1) != draw_fillers(TEXTS, 3, 600, 2)
    first, second, _ = draw_fillers(TEXTS, 3, 600, 1)
    assert not set(first) & set(second)
    assert not any(keys_pattern().search(sentence) for sentence in first)


def test_facts_of_a_kind_differ_in_keys_and_values() -> None:
    for kind in kinds():
        facts = draw_facts(kind, most_facts(), Random(3))
        assert len({fact.value for fact in facts}) == len({fact.query for fact in facts}) == most_facts()
        assert all(fact.value in fact.statement and fact.value not in fact.query + fact.question for fact in facts)


@pytest.mark.parametrize("distance", [10_000, 700, 0])
def test_cloze_is_right_exactly_where_the_model_can_look(distance: int) -> None:
    tokenizer = characters_encoder(lambda ids: ids).tokenizer
    encoder = characters_encoder(copies_within(distance, tokenizer))
    cells = measure_cloze(encoder, draw_fillers(TEXTS, 3, 1024, 0), [512, 1024], "texts", 0)
    scores = {(cell.length, cell.depth): cell.score for cell in cells if cell.test == "cloze"}
    far = {depth for depth in DEPTHS if scores[1024, depth] == 0}
    assert far == {10_000: set(), 700: {0.0, 0.25}, 0: set(DEPTHS)}[distance]
    assert {scores[512, depth] for depth in DEPTHS} == {float(distance > 0)}
    assert {cell.score for cell in cells if cell.test == "without_needle"} == {0.0}


def test_retrieval_of_a_model_that_reads_the_first_tokens_only(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = characters_encoder(lambda ids: ids)
    alphabet = encoder.tokenizer.get_vocab()
    lengths: set[int] = set()

    def embed(_: Encoder, texts: list[str], **__: Any) -> Tensor:
        vectors = torch.zeros(len(texts), len(alphabet) ** 2)
        for vector, text in zip(vectors, texts, strict=True):
            lengths.add(len(text))
            for a, b in pairwise(text[:100]):
                vector[alphabet[a] * len(alphabet) + alphabet[b]] = 1.0
        return vectors

    monkeypatch.setattr(retrieval, "embed", embed)
    cells = retrieval.measure_retrieval(encoder, draw_fillers(TEXTS, 8, 1024, 0), [512, 1024], Pooling(), "texts", 0)
    scores = {(cell.test, cell.length, cell.depth): cell.score for cell in cells}
    for length in (512, 1024):
        assert scores["retrieval", length, 0.0] == 1
        assert scores["retrieval", length, 1.0] <= 0.5
        # A bag of tokens finds it at every depth alike, as far as characters tell keys apart.
        assert min(scores["bag_of_words", length, depth] for depth in DEPTHS) >= 0.75
    texts = sorted(length for length in lengths if length > 100)
    assert texts[-1] <= 1022  # [CLS] and [SEP] count
    assert texts[0] > 512 - 60


def test_names_of_the_metrics() -> None:
    cells = [
        DepthScore("cloze", 512, 0.0, 1.0, 4),
        DepthScore("cloze", 512, 0.25, 0.5, 4),
        DepthScore("cloze", 1024, 0.0, 0.0, 4),
    ]
    assert metrics_of(cells) == {
        "cloze": 0.5,
        "cloze 512": 0.75,
        "cloze 1024": 0.0,
        "cloze 512 0%": 1.0,
        "cloze 512 25%": 0.5,
        "cloze 1024 0%": 0.0,
    }
    assert lengths_of(8192) == [512, 1024, 2048, 4096, 8192]
    assert lengths_of(1000) == [512]


def test_mistakes_are_told_first(tmp_path: Path) -> None:
    texts = tmp_path / "a.txt"
    texts.write_text("".join(TEXTS[:2]), encoding="utf-8")
    options = NeedleOptions(texts=str(texts), documents=15)
    with pytest.raises(UserError, match=r"--documents 15: too many; expected 14 or fewer"):
        prepare(Request(("model",), options, tmp_path))
    short = replace(characters_encoder(lambda ids: ids), max_length=500)
    with pytest.raises(UserError, match="fake: reads 500 tokens; expected 512 or more for needle"):
        evaluate(short, [["あ。"]], texts="t", pooling=Pooling(), longest=8192)
