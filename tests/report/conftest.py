"""A small synthetic run, as the producers would write it, and ways to add to it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anaume.evals.record import Record, save_record

RECIPE = """name = "箱庭"

[model]
layers = 4
hidden = 128

[[stage]]
name = "short"
length = 128
steps = 40
learning_rate = 5e-4

[[stage]]
name = "long"
length = 1024
steps = 20
learning_rate = 5e-5
packing = true
"""
MANIFEST = {
    "name": "箱庭",
    "created": "2025-11-23T08:40:12+00:00",
    "anaume": "0.1.0",
    "parameters": 6_431_744,
    "environment": {"python": "3.11.2", "torch": "2.13.0", "cpu": "Xeon <8481C>", "threads": 2},
    "data": {"train": {"documents": 21480, "tokens": 9312044}, "validation": {"documents": 412}},
}
EVIL = "<script>alert('x')</script> & [MASK]。"


def train_line(stage: str, step: int, loss: float, tokens: int, **more: Any) -> dict[str, Any]:
    line = {"kind": "train", "stage": stage, "step": step, "loss": loss, "learning_rate": 5e-4}
    line |= {"gradient_norm": 1.0, "tokens": tokens, "tokens_per_second": 100.0}
    return line | {"padding_fraction": 0.004, "mfu": None} | more


def validation_line(stage: str, step: int, loss: float, accuracy: float) -> dict[str, Any]:
    return {"kind": "validation", "stage": stage, "step": step, "loss": loss, "accuracy": accuracy}


def metrics_lines() -> list[dict[str, Any]]:
    lines = [validation_line("short", 0, 9.125, 0.0)]
    lines += [train_line("short", step, 9 - step / 10, step * 1000) for step in range(1, 41)]
    lines += [validation_line("short", 40, 5.25, 0.4), validation_line("long", 0, 5.5, 0.35)]
    lines += [train_line("long", step, 5 - step / 10, 40_000 + step * 1000) for step in range(1, 21)]
    return [*lines, validation_line("long", 20, 3.0625, 0.6)]


def checkpoint(run: Path, stage: str, step: int, score: float) -> None:
    """The records of one checkpoint; every number follows from `score`."""
    model = f"{stage}-step-{step:07d}"
    place = {"stage": stage, "step": step, "tokens": 1000 * step}
    metrics = {
        "loss": 9.5 - score,
        "accuracy": score,
        "loss (0, 128]": 9 - score,
        "loss (128, 1024]": 8 - score,
    }
    save_record(Record(model, "validation", metrics, 412, {}, 0, checkpoint=place), run / "evals")
    guesses = [
        {"text": text, "probability": 0.5 - i / 10} for i, text in enumerate(["東京", "大阪", "京都", "の", "は"])
    ]
    if step == 0:
        guesses = guesses[::-1]
    details: list[dict[str, Any]] = [
        {
            "text": "日本の首都は[MASK]である。",
            "answers": ["東京"],
            "predictions": guesses,
            "correct": step > 0,
        },
        {"text": EVIL, "answers": ["<b>"], "predictions": [{"text": "<b>", "probability": 0.125}]},
    ]
    cloze = {
        "accuracy_at_1": score - 0.01,
        "accuracy_at_5": score + 0.01,
        "mrr": score,
        "naive_accuracy_at_1": 0.1,
    }
    save_record(Record(model, "fill-mask", cloze, 600, {}, 0, checkpoint=place, details=details), run / "evals")
    retrieval = {"recall_at_10": score + 0.1, "mrr_at_10": score / 2}
    save_record(Record(model, "retrieval", retrieval, 400, {}, 0, checkpoint=place), run / "evals")


def write_fine_tuned(folder: Path, model: str, task: str, metrics: dict[str, float], **settings: Any) -> None:
    """A record as `anaume eval jglue` writes it: it doesn't say where in a run the model stands."""
    chosen = {"seeds": 3, "held_out": 100, "learning_rates": [2e-5, 5e-5], "epochs": [3]}
    save_record(Record(model, task, metrics, 100, chosen | settings, 0), folder)


def write_by_length(folder: Path, model: str, factor: float, longer: int = 0, drawn: str = "d1", **more: Any) -> None:
    """Pseudo-perplexity of two documents in each of two bins; every number follows from `factor`.

    A tokenizer splits the first document into `longer` tokens more than another; `drawn` is the draw's checksum.
    """
    details = [
        {
            "tokens": tokens + longer * (tokens == 2000),
            "characters": 2 * tokens,
            "loss": 0.5,
            "pseudo_perplexity": value * factor,
        }
        for tokens, value in ((2000, 6.0), (100, 2.0), (300, 4.0), (1200, 5.0))
    ]
    metrics = {"pseudo_perplexity (1024, 2048]": 5.5 * factor, "pseudo_perplexity [0, 1024]": 2.75 * factor}
    metrics |= {"pseudo_perplexity": 4.25 * factor, "bits_per_character": 1.5 * factor}
    save_record(
        Record(model, "pseudo-perplexity", metrics, 4, {"drawn_sha256": drawn}, 0, details=details, **more), folder
    )


def write_placed(folder: Path, model: str, alignment: float, uniformity: float, **more: Any) -> None:
    """Geometry of a model whose cosines lie in three bins."""
    metrics = {"alignment": alignment, "uniformity": uniformity, "uniformity_all_pairs": uniformity - 0.125}
    metrics |= {"overlap": 0.25, "auc": 0.875, "positive_mean": 0.75, "random_mean": 0.5}
    shares = {0.2: (0.0, 0.5), 0.4: (0.25, 0.5), 0.6: (0.75, 0.0)}
    details = [
        {"low": low, "high": round(low + 0.2, 1), "positive": pair[0], "random": pair[1]}
        for low in (0.0, 0.2, 0.4, 0.6, 0.8)
        for pair in [shares.get(low, (0.0, 0.0))]
    ]
    save_record(Record(model, "geometry", metrics, 50, {}, 0, details=details, **more), folder)


def write_run(run: Path, evals: bool = True, lines: list[dict[str, Any]] | None = None, tail: str = "") -> Path:
    """A run of two stages and four checkpoints with all tasks, or one that stopped before its evaluations."""
    run.mkdir()
    (run / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    (run / "manifest.json").write_text(json.dumps(MANIFEST, ensure_ascii=False), encoding="utf-8")
    written = "".join(json.dumps(line) + "\n" for line in lines or metrics_lines())
    (run / "metrics.jsonl").write_text(written + tail, encoding="utf-8")
    if evals:
        for stage, step, score in (("long", 20, 0.75), ("short", 40, 0.5), ("short", 0, 0.125), ("short", 9, 0.25)):
            checkpoint(run, stage, step, score)
        for name, recall in (("edit-distance", 0.289), ("jaccard", 0.031)):
            save_record(
                Record(name, "retrieval", {"recall_at_10": recall, "mrr_at_10": 0.02}, 400, {}, 0), run / "evals"
            )
    return run


def write_summary(run: Path, summary: dict[str, Any]) -> None:
    """The summary of the training tokens."""
    (run / "tokens" / "train").mkdir(parents=True, exist_ok=True)
    (run / "tokens" / "train" / "summary.json").write_text(json.dumps(summary))


@pytest.fixture(scope="session")
def fine_tuned() -> Callable[..., None]:
    return write_fine_tuned


@pytest.fixture(scope="session")
def by_length() -> Callable[..., None]:
    return write_by_length


@pytest.fixture(scope="session")
def placed() -> Callable[..., None]:
    return write_placed


@pytest.fixture(scope="session")
def summarized() -> Callable[..., None]:
    return write_summary


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a run below `tmp_path`."""
    return lambda folder="run", **options: write_run(tmp_path / folder, **options)


@pytest.fixture
def run(make_run: Callable[..., Path]) -> Path:
    """A whole run, which the test may change."""
    return make_run()


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, which no test changes."""
    return write_run(tmp_path_factory.mktemp("whole") / "run")
