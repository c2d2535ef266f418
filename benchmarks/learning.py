"""Validation loss over wall-clock time: anaume beside the strongest stock loop.

    python benchmarks/learning.py RECIPE.toml [--minutes 20] [--rows 8] [--rates 5e-4,1e-3,2e-3] [--set KEY=VALUE …]
        [--out learning.json] [--figure docs/learning.svg]

Both sides train the model of the recipe's first stage on its corpus, one after the other, each in a process of its own.
One function scores both on the same validation text with the same masks, and the clock stops meanwhile. anaume takes
the step of `anaume pretrain` with the recipe's optimizer, schedule and precision, one micro-batch per step. The stock
loop is the grouped one of `anaume bench`, with AdamW, the paper's weight decay and a linear schedule; of several
learning rates, the one with the lowest last loss counts. All schedules depend on the clock, so that each training
reaches the end of its schedule at the last minute.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np

from anaume import recipe as recipes
from anaume.batches.loader import validation_batches
from anaume.bench.process import TRAINERS
from anaume.bench.rounds import OWN, SIDES, BenchJob
from anaume.files import write_json
from anaume.model.attention import packed_rows
from anaume.pretrain.prepare import prepare
from anaume.pretrain.ranks.rank import this_rank
from anaume.pretrain.validation import validate
from anaume.recipe import Recipe
from anaume.report.draw.figures import style
from anaume.report.draw.grid import grid
from anaume.report.draw.panels import Axis, Line, Panel
from anaume.run import Run

# Steps of the schedule: each stands for an equal part of the time.
TICKS = 10_000
WARMUP = 0.05
# Seconds of training between two validations: SOON for the first MANY validations, LATER for the others.
SOON, LATER, MANY = 15.0, 60.0, 20
STOCK = "grouped"


def side_recipe(options: argparse.Namespace, side: str) -> Recipe:
    """The recipe's first stage with a schedule of TICKS steps; the stock loop gets the paper's optimizer settings."""
    table = recipes.load(options.recipe, options.set).model_dump()
    stage = table["stage"][0]
    stage |= {"steps": TICKS, "warmup_steps": round(WARMUP * TICKS), "batch_tokens": stage["micro_batch_tokens"]}
    stage |= {"decay_steps": TICKS // 5 if stage["schedule"] == "wsd" else 0, "validation_tokens": options.tokens}
    stage |= {"final_mask_rate": 0.0, "final_learning_rate": 0.0}
    if side == STOCK:
        stage |= {"optimizer": "adamw", "schedule": "linear", "decay_steps": 0, "learning_rate": options.rate}
        stage["weight_decay"] = 1e-5
    return recipes.parse(table | {"stage": [stage]}, str(options.recipe))


def train(options: argparse.Namespace) -> list[dict[str, float]]:
    """Train one side; a row per validation with seconds of training, tokens of text and loss in nats."""
    recipe, run, ranks = side_recipe(options, options.side), Run(Path(options.run)), this_rank()
    stage, data = recipe.stage[0], prepare(recipe, run)
    job = BenchJob(options.side, recipe.model_dump(), options.run, options.rows, 60 * options.minutes, 0, "")
    trainer = TRAINERS[options.side](recipe, data.plan(recipe, stage, "train"), job, ranks)
    held_out = validation_batches(data.plan(recipe, stage, "validation"), stage.validation_tokens)
    seconds, tokens, last_validation = 0.0, 0, 0.0
    curve: list[dict[str, float]] = []

    def add_point() -> None:
        with packed_rows(trainer.network):
            loss = validate(trainer.network, held_out, stage.length, ranks, "auto").loss
        curve.append({"seconds": seconds, "tokens": tokens, "loss": loss})
        print(
            f"{SIDES[options.side]}: {seconds:6.0f} s {tokens:10,} tokens, loss {loss:.4f}", file=sys.stderr, flush=True
        )

    add_point()
    while seconds < job.seconds:
        step = trainer.step(int(TICKS * seconds / job.seconds))
        seconds, tokens = seconds + step.seconds, tokens + step.tokens
        if seconds - last_validation >= (SOON if len(curve) <= MANY else LATER) or seconds >= job.seconds:
            add_point()
            last_validation = seconds
    return curve


def reached(curve: list[dict[str, float]], loss: float) -> float | None:
    """Seconds after which a curve first reaches this loss, by linear interpolation; None if it never does."""
    for before, after in pairwise(curve):
        if after["loss"] <= loss:
            share = (before["loss"] - loss) / (before["loss"] - after["loss"])
            return before["seconds"] + share * (after["seconds"] - before["seconds"])
    return None


def panel(curves: dict[str, list[dict[str, float]]], seconds: float | None) -> Panel:
    """The panel with both curves over minutes; `seconds` is the time at which anaume reaches the stock loop's loss."""
    lines = []
    for side, role, marker in ((STOCK, "series2", "square"), (OWN, "series1", "circle")):
        x, y = (np.array([point[key] for point in curves[side]], dtype=np.float64) for key in ("seconds", "loss"))
        lines.append(Line(SIDES[side], role, "points", x / 60, y, marker))
    note = "" if seconds is None else f"anaume reaches the stock loop's last loss after {seconds:.0f} s"
    return Panel("learning", "Validation loss (nats)", tuple(lines), Axis("minutes of training"), Axis(), note=note)


def run_side(side: str, rate: float, folder: Path) -> list[dict[str, float]]:
    """Run this script for one side in a process of its own, on the tokens of `folder`; return its curve."""
    curve_file = folder / f"{side}-{rate}.json"
    arguments = ["--side", side, "--rate", str(rate), "--run", str(folder / "run"), "--out", str(curve_file)]
    subprocess.run([sys.executable, *sys.argv, *arguments], check=True)
    curve: list[dict[str, float]] = json.loads(curve_file.read_text(encoding="utf-8"))
    return curve


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rows", type=int, default=8, help="rows per micro-batch of the stock loop")
    parser.add_argument("--rates", default="5e-4,1e-3,2e-3", help="highest learning rates of the stock loop")
    parser.add_argument("--tokens", type=int, default=32_768, help="tokens of the validation corpus")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--side", choices=[STOCK, OWN], help=argparse.SUPPRESS)  # marks the process of one side
    parser.add_argument("--rate", type=float, default=1e-3, help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        write_json(options.out, train(options))
        return

    rates = [float(rate) for rate in options.rates.split(",")]
    with tempfile.TemporaryDirectory(prefix="anaume-learning-") as folder:
        prepare(side_recipe(options, OWN), Run(Path(folder) / "run"))
        own = run_side(OWN, 0.0, Path(folder))
        stock = {rate: run_side(STOCK, rate, Path(folder)) for rate in rates}
    best = min(rates, key=lambda rate: stock[rate][-1]["loss"])
    curves = {STOCK: stock[best], OWN: own}
    for rate in rates:
        print(f"{SIDES[STOCK]}, learning rate {rate:g}: loss {stock[rate][-1]['loss']:.3f}")
    last = {side: curve[-1] for side, curve in curves.items()}
    seconds = reached(own, last[STOCK]["loss"])
    for side, point in last.items():
        print(f"{SIDES[side]}: loss {point['loss']:.3f} after {point['seconds']:.0f} s, {point['tokens']:,} tokens")
    if seconds is not None:
        share = seconds / last[STOCK]["seconds"]
        print(f"anaume reaches {last[STOCK]['loss']:.3f} after {seconds:.0f} s: {share:.3f} of the time")
    if options.out:
        recipe = side_recipe(options, OWN).model_dump()
        write_json(options.out, {"curves": curves, "stock": stock, "recipe": recipe, "rate": best})
    if options.figure:
        with style():
            grid([panel(curves, seconds)], columns=1, size=(6.0, 3.6)).savefig(options.figure, metadata={"Date": None})


if __name__ == "__main__":
    main()
