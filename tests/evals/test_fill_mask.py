"""Fill-mask: scores known by hand from a fake model, and transformers' pipeline on a tiny random one."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast, pipeline

from anaume.encoder.load import Encoder, load_encoder
from anaume.errors import UserError
from anaume.evals.fill_mask import Prediction, evaluate, predict, show
from anaume.evals.inputs.cloze import Cloze

from ..support.models import sentences

Unigram = Callable[[str], PreTrainedTokenizerFast]


@dataclass(frozen=True)
class FakeModel:
    """A masked language model that is one function, ids → logits."""

    network: Callable[[Tensor], Tensor]

    def __call__(self, input_ids: Tensor, **_: Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=self.network(input_ids))

    def get_output_embeddings(self) -> None:
        return None


def fake_encoder(tokenizer: Any, after: Mapping[str, Mapping[str, float]]) -> Encoder:
    """Scores what follows a piece: `after[piece before][piece here]` is the logit, else −10.

    The vocabulary is padded by 6 entries, as many models' are, which score highest and must never count.
    """
    table = torch.full((len(tokenizer), len(tokenizer) + 6), -10.0)
    table[:, len(tokenizer) :] = 20.0
    for before, scores in after.items():
        for here, score in scores.items():
            before_id, here_id = tokenizer.convert_tokens_to_ids([before, here])
            table[before_id, here_id] = score
    model = FakeModel(lambda input_ids: table[input_ids.roll(1, dims=1)])
    return Encoder("fake", tokenizer, model, 48, torch.device("cpu"))


def test_known_by_hand(unigram: Unigram) -> None:
    encoder = fake_encoder(
        unigram("always"),
        {
            "は": {"首都": 5.0, "古都": 4.0, "港町": 3.0},
            "[CLS]": {"▁東京": 2.0, "大阪": 1.0},
            "▁": {"京都": 9.0},
        },
    )
    cloze = [
        Cloze("東京は[MASK]である。", ("首都",)),  # 1st
        Cloze("京都は[MASK]である。", ("寺院", "港町", "古都")),  # 2nd, the best of its answers
        Cloze("[MASK]は首都である。", ("東京",)),  # 1st, as ▁東京
        Cloze("[MASK]は古都である。", ("京都",)),  # 1st, behind the "▁" that stays visible
        Cloze("[MASK]は商店である。", ("大阪",)),  # 2nd, spelt without "▁"
        Cloze("大阪は[MASK]である。", ("寺院",)),  # ties with all the rest: last but the three above
    ]
    result = evaluate(encoder, cloze, seed=4)
    last = len(encoder.tokenizer)
    assert [row["rank"] for row in result.details] == [1, 2, 1, 1, 2, last]
    assert result.metrics["accuracy_at_1"] == pytest.approx(3 / 6)
    assert result.metrics["accuracy_at_5"] == pytest.approx(5 / 6)
    assert result.metrics["mrr"] == pytest.approx((3 + 2 / 2 + 1 / last) / 6)
    assert (result.model, result.task, result.n, result.seed) == ("fake", "fill-mask", 6, 4)
    first = result.details[0]
    assert first["text"] == "東京は[MASK]である。"
    assert first["answers"] == ["首都"]
    assert [p["text"] for p in first["predictions"][:3]] == ["首都", "古都", "港町"]
    total = sum(map(math.exp, (5, 4, 3))) + (last - 3) * math.exp(-10)
    assert first["predictions"][0]["probability"] == pytest.approx(math.exp(5) / total, rel=1e-5)
    assert all(len(row["predictions"]) == 5 for row in result.details)
    assert result == evaluate(encoder, cloze, seed=4, batch_tokens=1)


def test_clean_questions_have_metrics_of_their_own(unigram: Unigram) -> None:
    encoder = fake_encoder(unigram("always"), {"は": {"首都": 5.0}})
    cloze = [Cloze("東京は[MASK]である。", ("首都",)), Cloze("大阪は[MASK]である。", ("寺院",))]
    everything = evaluate(encoder, cloze).metrics
    metrics = evaluate(encoder, cloze, clean=np.array([False, True])).metrics
    alone = evaluate(encoder, cloze[1:]).metrics
    assert metrics == everything | {f"clean_{name}": value for name, value in alone.items()}
    assert (metrics["accuracy_at_1"], metrics["clean_accuracy_at_1"]) == (0.5, 0)


def test_answers_of_several_tokens(unigram: Unigram) -> None:
    encoder = fake_encoder(
        unigram("always"), {"は": {"吾": 3.0, "猫": 2.0}, "[MASK]": {"輩": 1.0, "猫": 0.5, "である": 0.0}}
    )
    first, second, third, fourth = evaluate(
        encoder,
        [
            Cloze("東京は[MASK]", ("吾輩",)),  # both masks right at once
            Cloze("東京は[MASK]", ("吾猫",)),  # ranks 1 and 2: the worst counts
            Cloze("東京は[MASK]", ("猫輩",)),
            Cloze("東京は[MASK]", ("猫輩猫", "吾")),  # the one-token answer is first
        ],
    ).details
    assert [row["rank"] for row in (first, second, third, fourth)] == [1, 2, 2, 1]
    # Fillings are joined, probabilities multiplied: 吾輩, 吾猫, then 猫輩 or 吾である, by the sum of logits.
    assert [p["text"] for p in first["predictions"]] == ["吾輩", "吾猫", "吾である", "猫輩", "猫猫"]
    size = len(encoder.tokenizer)
    left = sum(map(math.exp, (3, 2))) + (size - 2) * math.exp(-10)
    right = sum(map(math.exp, (1, 0.5, 0))) + (size - 3) * math.exp(-10)
    for row, logit in zip(first["predictions"], (4, 3.5, 3, 3, 2.5), strict=True):
        assert row["probability"] == pytest.approx(math.exp(logit) / left / right, rel=1e-4)


def test_a_model_without_opinion_is_never_right(unigram: Unigram) -> None:
    encoder = fake_encoder(unigram("always"), {})
    result = evaluate(encoder, [Cloze("東京は[MASK]", ("首都",)), Cloze("[MASK]は首都", ("東京", "京都"))])
    assert result.metrics["accuracy_at_1"] == result.metrics["accuracy_at_5"] == 0


def test_an_answer_that_the_vocabulary_cannot_spell(unigram: Unigram) -> None:
    encoder = fake_encoder(unigram("always"), {"は": {"[UNK]": 5.0, "首都": 1.0}})
    cloze = [Cloze("東京は[MASK]", ("薔薇",)), Cloze("東京は[MASK]", ("薔薇", "首都"))]
    result = evaluate(encoder, cloze)
    assert [row["rank"] for row in result.details] == [None, 2]
    assert result.settings["unspeakable"] == 1
    assert result.metrics["mrr"] == pytest.approx((0 + 1 / 2) / 2)


def test_the_naive_variant_pays_for_the_trap(unigram: Unigram) -> None:
    """A model that looks at what comes after the mask: it knows "である", but not "▁である" there."""
    tokenizer: Any = unigram("always")
    right, noise = tokenizer.convert_tokens_to_ids(["首都", "猫"])
    plain = tokenizer.convert_tokens_to_ids("である")

    def network(input_ids: Tensor) -> Tensor:
        knows = input_ids.roll(-1, dims=1) == plain
        logits = torch.zeros(*input_ids.shape, len(tokenizer))
        logits[..., right] = knows.float() * 2
        logits[..., noise] = 1.0
        return logits

    encoder = Encoder("fake", tokenizer, FakeModel(network), 48, torch.device("cpu"))
    metrics = evaluate(encoder, [Cloze("東京は[MASK]である。", ("首都",))]).metrics
    assert (metrics["accuracy_at_1"], metrics["naive_accuracy_at_1"]) == (1.0, 0.0)
    assert metrics["naive_mrr"] < 0.1


@pytest.mark.parametrize("folder", ["modernbert_folder", "bert_folder"])
def test_naive_is_transformers_pipeline(folder: str, request: pytest.FixtureRequest) -> None:
    path = str(request.getfixturevalue(folder))
    fill = pipeline("fill-mask", model=path, top_k=5, device="cpu")
    encoder = load_encoder(path, masked_lm=True)
    texts = [text.replace("首都", "[MASK]", 1) for text in sentences(60) if "首都" in text][:12]
    expected_hits, expected_first = [], []
    for text in texts:
        top = [row["token_str"].strip().removeprefix("##") for row in fill(text)]
        expected_hits.append("首都" in top)
        expected_first.append(top[0])
    # Asked for the pipeline's own first guess, the naive variant must be right at once.
    firsts = [Cloze(text, (first,)) for text, first in zip(texts, expected_first, strict=True) if first]
    assert len(firsts) > 6
    assert evaluate(encoder, firsts).metrics["naive_accuracy_at_1"] == 1.0
    metrics = evaluate(encoder, [Cloze(text, ("首都",)) for text in texts]).metrics
    if folder == "modernbert_folder":  # BERT's vocabulary here spells 首都 in two pieces
        assert metrics["naive_accuracy_at_5"] == pytest.approx(sum(expected_hits) / len(texts))
    if folder == "bert_folder":  # no trap: one and the same
        assert all(metrics[name] == metrics[f"naive_{name}"] for name in ("accuracy_at_1", "mrr"))


def test_predict_is_the_plain_model_on_careful_ids(modernbert_folder: Path) -> None:
    encoder = load_encoder(str(modernbert_folder), masked_lm=True)
    tokenizer = encoder.tokenizer
    ids = tokenizer("東京は首都である。")["input_ids"]
    ids[ids.index(tokenizer.convert_tokens_to_ids("首都"))] = tokenizer.mask_token_id
    with torch.no_grad():
        logits = encoder.model(torch.tensor([ids])).logits[0, ids.index(tokenizer.mask_token_id)]
    probabilities, best = logits.softmax(-1).topk(3)
    got = predict(encoder, "東京は[MASK]である。", k=3)
    assert [p.probability for p in got] == pytest.approx(probabilities.tolist(), abs=1e-5)
    assert len(got) == 3
    words = [tokenizer.convert_ids_to_tokens(i) for i in best.tolist()]
    assert [p.text for p in got] == [w.removeprefix("▁") or w for w in words]


def test_models_side_by_side(
    modernbert_folder: Path, bert_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column a model, and one for the naive row of the one that has the trap."""
    monkeypatch.setenv("COLUMNS", "120")
    texts = ["東京は[MASK]である。", "も[MASK]は[MASK]"]
    show([str(modernbert_folder), str(bert_folder)], texts, k=3)
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if "[MASK]" in line] == texts
    head, *rows = [
        [cell.strip() for cell in line.strip("┃│").replace("┃", "│").split("│")]
        for line in printed.split(texts[1])[0].splitlines()
        if line[0] in "┃│"
    ]
    assert head == ["tiny-modernbert", "tiny-modernbert, naive", "tiny-bert"]
    assert len(rows) == 3
    careful = predict(load_encoder(str(modernbert_folder), masked_lm=True), texts[0], k=3)
    assert [row[0] for row in rows] == [f"{p.text} {p.probability:.1%}" for p in careful]
    top = pipeline("fill-mask", model=str(modernbert_folder), top_k=3, device="cpu")(texts[0])
    assert [row[1].split()[-1] for row in rows] == [f"{guess['score']:.1%}" for guess in top]


def test_predict_several_blanks(unigram: Unigram) -> None:
    encoder = fake_encoder(
        unigram("always"), {"[CLS]": {"▁東京": 8.0, "▁大阪": 7.0}, "は": {"首都": 5.0}, "[MASK]": {"。": 4.0}}
    )
    apart = predict(encoder, "[MASK]は[MASK]である", k=1)
    assert [p.text for p in apart] == ["東京 / 首都"]
    together = predict(encoder, "東京は[MASK][MASK]", k=2)
    assert together[0].text == "首都。"
    assert isinstance(together[0], Prediction)
    assert together[0].probability >= together[1].probability


def test_predictions_read_well(wordpiece: Any, byte_level: Any) -> None:
    encoder = fake_encoder(wordpiece, {"は": {"京都": 5.0, "##都": 4.0}, "[MASK]": {"東京": 3.0}})
    assert [p.text for p in predict(encoder, "も は[MASK]", k=2)] == ["京都", "都"]
    assert predict(encoder, "も は[MASK][MASK]", k=1)[0].text == "京都東京"  # decoded with a space
    half = byte_level.convert_ids_to_tokens(byte_level("薔", add_special_tokens=False)["input_ids"])[0]
    encoder = fake_encoder(byte_level, {"[CLS]": {"Ġ": 5.0, half: 4.0}})
    assert [p.text for p in predict(encoder, "[MASK]", k=2)] == ["Ġ", half]  # half a character, a bare space


def test_settings(modernbert_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "cloze.jsonl"
    data.write_text("{}")
    encoder = load_encoder(str(modernbert_folder), masked_lm=True)
    cloze = [Cloze("東京は[MASK]である。" + "大阪は商店である。" * 12, ("首都",)), Cloze("[MASK]", ("東京",))]
    result = evaluate(encoder, cloze, k=3, data=data)
    assert result.settings["truncated"] == 1
    assert (result.settings["k"], result.settings["data"]) == (3, "cloze.jsonl")
    assert len(result.details[0]["predictions"]) == 3
    assert result == evaluate(encoder, cloze, k=3, data=data)


def test_bad_inputs(unigram: Unigram) -> None:
    encoder = fake_encoder(unigram("always"), {})
    with pytest.raises(UserError, match="no questions"):
        evaluate(encoder, [])
    with pytest.raises(UserError, match=r"no \[MASK\] in it"):
        predict(encoder, "東京は首都である。")
