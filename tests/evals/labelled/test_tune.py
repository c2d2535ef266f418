"""`anaume finetune`: each kind of task ends in a folder that `pipeline` opens; mistakes come before any training."""

import csv
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

from anaume.errors import UserError
from anaume.evals.jglue.grid import parse
from anaume.evals.labelled import tune
from anaume.finetune.examples import Head
from anaume.finetune.items import Item, Row
from anaume.finetune.network import loss_of
from anaume.finetune.train import Settings

from ...conftest import Finished
from ...support.models import PLACES, sentences, write_rows

Command = Callable[..., Finished]


def reviews(path: Path, number: int = 60) -> Path:
    """Whether a text names Tokyo."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([text, "yes" if "東京" in text else "no"] for text in sentences(number))
    return path


def marked(path: Path, number: int = 60) -> Path:
    rows = [
        {
            "text": text,
            "entities": [
                {"start": i, "end": i + 1, "type": "地名"} for i in range(len(text)) if text[i : i + 2] in PLACES
            ],
        }
        for text in sentences(number)
    ]
    write_rows(path, rows)
    return path


@pytest.mark.slow
def test_a_classifier_from_csv(modernbert_folder: Path, tmp_path: Path, command_line: Command) -> None:
    data, out = reviews(tmp_path / "reviews.csv"), tmp_path / "classifier"
    options = ["--learning-rates", "4e-3", "--epochs", "10"]
    finished = command_line("finetune", modernbert_folder, data, "--out", out, *options)
    assert finished.status == 0, finished.err
    assert finished.out == f"{out}\n"
    assert "reviews.csv: classification: no, yes; 54 examples to train on, 6 held out" in finished.err
    record = json.loads((out / "finetune.json").read_text(encoding="utf-8"))
    assert (record["n"], record["train"], record["kind"]) == (6, 54, "classification")
    assert set(record["metrics"]) == {"accuracy"}
    judge: Any = pipeline("text-classification", str(out), device="cpu")
    texts = [text for text in sentences(60) if len(text) < 40]
    right = [
        result["label"] == ("yes" if "東京" in text else "no") for text, result in zip(texts, judge(texts), strict=True)
    ]
    assert sum(right) > 0.9 * len(right)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: text-classification" in card
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert config["id2label"] == {"0": "no", "1": "yes"}
    assert config["problem_type"] == "single_label_classification"
    assert config["global_rope_theta"]
    again = command_line("finetune", modernbert_folder, data, "--out", out, "--epochs", "1")
    assert again.status == 0, again.err


@pytest.mark.slow
def test_a_tagger(modernbert_folder: Path, tmp_path: Path, command_line: Command) -> None:
    """The entities are single kanji, which lie inside pieces of two."""
    data, out = marked(tmp_path / "ner.jsonl"), tmp_path / "tagger"
    finished = command_line(
        "finetune", modernbert_folder, data, "--out", out, "--learning-rates", "4e-3", "--epochs", "40"
    )
    assert finished.status == 0, finished.err
    assert "ner.jsonl: entities: 地名; 48 examples to train on, 12 held out" in finished.err
    assert "split kanji: a perfect tagger returns 100.00% of the entities exactly" in finished.err
    record = json.loads((out / "finetune.json").read_text(encoding="utf-8"))
    assert record["split"] == "kanji"
    assert record["metrics"]["f1"] > 0.7
    tagger: Any = pipeline("token-classification", str(out), aggregation_strategy="simple", device="cpu")
    spans = [(e["entity_group"], e["start"], e["end"]) for e in tagger("東京は首都である。")]
    assert spans == [("地名", 0, 1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("label", "kind", "metrics", "problem"),
    [
        (lambda text: len(text) / 50, "regression of pairs", {"pearson", "spearman"}, "regression"),
        (
            lambda text: [place for place in PLACES[:2] if place in text],
            "classification with any number of labels of pairs: 京都, 東京",
            {"f1", "exact_match"},
            "multi_label_classification",
        ),
    ],
)
def test_further_kinds(
    label: Callable[[str], object],
    kind: str,
    metrics: set[str],
    problem: str,
    bert_folder: Path,
    tmp_path: Path,
    command_line: Command,
) -> None:
    texts = [text for text in sentences(80) if len(text) < 40]
    rows = [{"sentence1": text, "sentence2": text[:5], "score": label(text)} for text in texts]
    write_rows(tmp_path / "a.jsonl", rows)
    out = tmp_path / "out"
    finished = command_line("finetune", bert_folder, tmp_path / "a.jsonl", "--out", out, "--epochs", "1")
    assert finished.status == 0, finished.err
    assert f"a.jsonl: {kind}; " in finished.err
    assert set(json.loads((out / "finetune.json").read_text(encoding="utf-8"))["metrics"]) == metrics
    assert json.loads((out / "config.json").read_text(encoding="utf-8"))["problem_type"] == problem
    judge: Any = pipeline("text-classification", str(out), device="cpu")
    assert math.isfinite(judge({"text": texts[0], "text_pair": texts[0][:5]})["score"])


def test_the_loss_of_several_labels_is_that_of_transformers() -> None:
    """`ForSequenceClassification` takes torch's BCEWithLogitsLoss for multi_label_classification."""
    outputs = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    items = [Item((Row([1], None),), target) for target in ((1.0, 0.0), (0.0, 1.0))]
    expected = torch.nn.BCEWithLogitsLoss()(outputs, torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    torch.testing.assert_close(loss_of("labels", outputs, items), expected)
    assert Head("x", "labels", 2).outputs == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("finetune absent reviews.csv --out out", "absent: "),
        ("finetune {model} absent.csv --out out", "absent.csv: no such file"),
        ("finetune {model} absent.jsonl --out out", "absent.jsonl: no such file"),
        ("finetune {model} few.csv --out out", "few.csv: 2 examples: too few to hold out a tenth"),
        ("finetune {model} reviews.csv --out taken", "--out: taken: not empty (it holds thesis.tex)"),
        ("finetune {model} ner.jsonl --out out --label x", "ner.jsonl: entities have no columns to choose"),
        ("finetune {model} ner.jsonl --out out --split words", "--split: words: unknown"),
        ("finetune {model} reviews.csv --out out --text body", "reviews.csv:2: --text 'body': no such column"),
    ],
)
def test_a_mistake_is_one_line(
    words: str,
    message: str,
    modernbert_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command_line: Command,
) -> None:
    monkeypatch.chdir(tmp_path)
    reviews(Path("reviews.csv"))
    marked(Path("ner.jsonl"))
    Path("few.csv").write_text("text,label\na,x\na,y\n", encoding="utf-8")
    Path("taken").mkdir()
    Path("taken/thesis.tex").write_text("x", encoding="utf-8")
    finished = command_line(*words.format(model=modernbert_folder).split())
    assert finished.status == 2
    assert message in finished.err
    assert finished.err.strip().splitlines()[-1].startswith("anaume: ")
    assert not Path("out").exists()
    assert [path.name for path in Path("taken").iterdir()] == ["thesis.tex"]


def test_a_training_that_diverges_writes_nothing(
    modernbert_folder: Path, tmp_path: Path, command_line: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tune, "train", lambda *_, **__: None)
    monkeypatch.setattr(tune, "predict", lambda *_: [np.array([np.nan, 0.0], dtype=np.float32)])
    data = reviews(tmp_path / "reviews.csv")
    finished = command_line("finetune", modernbert_folder, data, "--out", tmp_path / "out", "--learning-rates", "0.9")
    assert finished.status == 2
    assert "--learning-rates 0.9: the training diverged, and nothing was written; expected a lower one" in finished.err
    assert not (tmp_path / "out").exists()


def test_settings_are_selected_on_a_part_of_the_training_examples(
    modernbert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rate 2e-5 is always right; 1e-5 is wrong, and 3e-5 diverges. The selected one is trained with two seeds."""
    trained: list[tuple[float, int, int]] = []
    written: dict[str, Any] = {}

    def train(_model: str, _head: Head, splits: Any, settings: Settings, *_: Any, **__: Any) -> Settings:
        trained.append((settings.learning_rate, settings.seed, len(splits["train"].examples)))
        return settings

    def predict(network: Settings, _kind: str, items: Sequence[Item]) -> list[Any]:
        sign = {1e-5: -1.0, 2e-5: 1.0, 3e-5: math.nan}[network.learning_rate]
        return [np.array([-sign, sign] if item.target == (1.0,) else [sign, -sign], dtype=np.float32) for item in items]

    monkeypatch.setattr(tune, "train", train)
    monkeypatch.setattr(tune, "predict", predict)
    monkeypatch.setattr(
        tune, "write_model", lambda network, _t, _h, record, *_: written.update(record, network=network)
    )
    grid = parse("", "held-out", "1e-5,2e-5,3e-5", "1", seeds=2, seed=5)
    tune.finetune(str(modernbert_folder), reviews(tmp_path / "reviews.csv"), tmp_path / "out", grid)
    assert [(rate, seed) for rate, seed, _ in trained[:3]] == [(1e-5, 5), (2e-5, 5), (3e-5, 5)]
    assert all(size < 54 for _, _, size in trained[:3])
    assert trained[3:] == [(2e-5, 5, 54), (2e-5, 6, 54)]
    assert written["metrics"] == {"accuracy": 1.0, "accuracy_std": 0.0}
    assert (written["learning_rate"], written["seeds"], written["network"].seed) == (2e-5, 2, 5)
    assert [row["split"] for row in written["trainings"]] == ["held_out"] * 3 + ["validation"] * 2


def test_every_training_diverged(modernbert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "train", lambda *_, **__: None)
    monkeypatch.setattr(tune, "predict", lambda *_: [np.array([np.nan, 0.0], dtype=np.float32)])
    data, grid = reviews(tmp_path / "reviews.csv"), parse("", "held-out", "0.1,0.2", "1", seeds=1)
    with pytest.raises(UserError, match=r"--learning-rates: 0\.1, 0\.2: every training diverged"):
        tune.finetune(str(modernbert_folder), data, tmp_path / "out", grid)
    assert not (tmp_path / "out").exists()
