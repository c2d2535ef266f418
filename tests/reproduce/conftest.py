"""A made-up run whose records show every finding of the paper, and a way to change them."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anaume.evals.record import Record, save_record
from anaume.report.inputs import ReportInput, read_inputs

STAGE = """
[[stage]]
name = "{name}"
length = {length}
steps = {steps}
batch_tokens = 8192
learning_rate = {rate}
warmup_steps = 48
schedule = "linear"
optimizer = "adamw"
adam_beta1 = 0.9
adam_beta2 = 0.98
adam_eps = 1e-6
weight_decay = 1e-5
mask_rate = 0.3
mask_share = 0.8
random_share = 0.1
rope_theta = 10000.0
documents = "split"
packing = true
"""
RECIPE = "".join(
    (
        'name = "made up"\nseed = 3\n',
        STAGE.format(name="stage1", length=1024, steps=1000, rate="2e-3"),
        STAGE.format(name="stage2", length=8192, steps=400, rate="2e-4"),
    )
)
# Step of stage 1, or 0 for the end of stage 2 → loss, accuracy, Recall@10, JGLUE, alignment and mean random cosine.
MOMENTS = {
    ("stage1", 0): (9.0, 0.01, 0.05, 0.50, 0.1, 0.99),
    ("stage1", 8): (8.0, 0.05, 0.30, 0.60, 0.9, 0.30),
    ("stage1", 100): (6.0, 0.20, 0.80, 0.85, 0.8, 0.40),
    ("stage1", 400): (4.0, 0.40, 0.70, 0.85, 0.5, 0.60),
    ("stage1", 1000): (3.0, 0.50, 0.55, 0.85, 0.3, 0.80),
    ("stage2", 400): (2.9, 0.51, 0.55, 0.84, 0.3, 0.80),
}
# Tokens of twenty short and twenty long documents, and their losses after each stage.
LENGTHS = [*range(200, 400, 10), *range(2000, 4000, 100)]
LOSSES = {"stage1": (2.0, 3.0), "stage2": (2.0, 2.4)}

Change = Callable[[Record], Record]
MakeRun = Callable[..., ReportInput]


@pytest.fixture
def made_up(tmp_path: Path) -> MakeRun:
    """Write the run into a folder, with its records changed by a function, and read it."""

    def write(change: Change = lambda record: record, name: str = "run") -> ReportInput:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
        for stage, step in MOMENTS:
            for record in records(stage, step):
                save_record(change(record), folder / "evals")
        for baseline, recall in (("edit-distance-raw", 0.3), ("jaccard-spaces", 0.05)):
            metrics = {"recall_at_10": recall, "mrr_at_10": recall / 2}
            save_record(change(Record(baseline, "retrieval", metrics, 2000, {"unit": "words"}, 0)), folder / "evals")
        return read_inputs([folder])[0]

    return write


def records(stage: str, step: int) -> list[Record]:
    loss, accuracy, recall, score, alignment, cosine = MOMENTS[stage, step]
    losses = [LOSSES[stage][tokens > 1024] + 0.01 * (i % 5) for i, tokens in enumerate(LENGTHS)]
    guesses = [{"text": "富士[MASK]", "answers": ["山"], "predictions": [{"text": "山", "probability": 0.5}]}]
    bins = [
        {"low": low / 10, "high": (low + 1) / 10, "positive": float(low == 9), "random": float(low == int(cosine * 10))}
        for low in range(10)
    ]
    rows: list[tuple[str, dict[str, float], int, list[dict[str, Any]]]] = [
        ("validation", {"loss": loss, "accuracy": accuracy}, 100_000, []),
        ("retrieval", {"recall_at_10": recall, "mrr_at_10": recall / 2}, 2000, []),
        ("jsts", {"pearson": score}, 1500, []),
        ("jnli", {"accuracy": score}, 2400, []),
        ("jcola", {"accuracy": score}, 900, []),
        ("fill-mask", {"accuracy_at_1": accuracy}, 1, guesses),
        (
            "geometry",
            {
                "alignment": alignment,
                "uniformity": -4 + 3 * cosine,
                "positive_mean": 1 - alignment / 2,
                "random_mean": cosine,
            },
            200,
            bins,
        ),
        (
            "pseudo-perplexity",
            {"pseudo_perplexity": 10.0, "pseudo_perplexity [0, 1024]": 8.0, "pseudo_perplexity (2048, 4096]": 20.0},
            len(LENGTHS),
            [
                {"tokens": n, "loss": value, "pseudo_perplexity": math.exp(value)}
                for n, value in zip(LENGTHS, losses, strict=True)
            ],
        ),
    ]
    model = f"{stage}-step-{step:07d}"
    place = {"stage": stage, "step": step, "tokens": 1000 * step}
    return [Record(model, task, metrics, n, {}, 0, checkpoint=place, details=d) for task, metrics, n, d in rows]
