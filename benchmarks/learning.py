"""What some minutes teach: validation loss over wall-clock time, anaume beside the padded Hugging Face loop.

    python benchmarks/learning.py RECIPE.toml [--minutes 20] [--rows 8] [--rate 1e-3] [--set KEY=VALUE …]
        [--out learning.json] [--figure docs/learning.svg]

Both train the model of the recipe's first stage on its corpus, one after the other, each in a process of its own. The
same function scores both on the same validation text with the same masks, and the clock stands still meanwhile. Ours
is the step of `anaume pretrain` with the recipe's optimizer, schedule and precision, a micro-batch each; the padded
loop is that of `anaume bench`, with AdamW, the paper's weight decay, a linear schedule and float32 on a CPU. Both
schedules run by the clock, so that each side comes to its end at the last minute.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from anaume import recipe as recipes
from anaume.batches.loader import validation_batches
from anaume.bench.compare import SIDES, Job
from anaume.bench.process import TRAINERS
from anaume.files import write_json
from anaume.model.attention import packed_rows
from anaume.pretrain.prepare import prepare
from anaume.pretrain.ranks import this_rank
from anaume.pretrain.validation import validate
from anaume.recipe import Recipe
from anaume.report.draw.figures import style
from anaume.report.draw.grid import grid
from anaume.report.draw.panels import Axis, Line, Panel
from anaume.run import Run

# What a schedule counts is a part of the time.
TICKS = 10_000
WARMUP = 0.05
# Seconds of training between two looks at the validation loss, and their number up to which the first holds.
SOON, LATER, MANY = 15.0, 60.0, 20


def chosen(given: argparse.Namespace, side: str) -> Recipe:
    """The recipe's first stage with a schedule that runs by the clock; for the padded loop with the paper's choices."""
    table = recipes.load(given.recipe, given.set).model_dump()
    stage = table["stage"][0]
    stage |= {"steps": TICKS, "warmup_steps": round(WARMUP * TICKS), "batch_tokens": stage["micro_batch_tokens"]}
    stage |= {"decay_steps": TICKS // 5 if stage["schedule"] == "wsd" else 0, "validation_tokens": given.tokens}
    stage |= {"final_mask_rate": 0.0, "final_learning_rate": 0.0}
    if side == "padded":
        stage |= {"optimizer": "adamw", "schedule": "linear", "decay_steps": 0, "learning_rate": given.rate}
        stage["weight_decay"] = 1e-5
    return recipes.parse(table | {"stage": [stage]}, str(given.recipe))


def train(given: argparse.Namespace) -> list[dict[str, float]]:
    """One side: (seconds of training, tokens of text, validation loss) from the first weights to the last."""
    recipe, run, ranks = chosen(given, given.side), Run(Path(given.run)), this_rank()
    stage, data = recipe.stage[0], prepare(recipe, run)
    job = Job(given.side, recipe.model_dump(), given.run, given.rows, 60 * given.minutes, 0, "")
    trainer = TRAINERS[given.side](recipe, data.plan(recipe, stage, "train"), job, ranks)
    held_out = validation_batches(data.plan(recipe, stage, "validation"), stage.validation_tokens)
    seconds, tokens, seen = 0.0, 0, 0.0
    found: list[dict[str, float]] = []

    def look() -> None:
        with packed_rows(trainer.network):
            loss = validate(trainer.network, held_out, stage.length, ranks, "auto").loss
        found.append({"seconds": seconds, "tokens": tokens, "loss": loss})
        print(
            f"{SIDES[given.side]}: {seconds:6.0f} s {tokens:10,} tokens, loss {loss:.4f}", file=sys.stderr, flush=True
        )

    look()
    while seconds < job.seconds:
        step = trainer.step(int(TICKS * seconds / job.seconds))
        seconds, tokens = seconds + step.seconds, tokens + step.tokens
        if seconds - seen >= (SOON if len(found) <= MANY else LATER) or seconds >= job.seconds:
            look()
            seen = seconds
    return found


def reached(curve: list[dict[str, float]], loss: float) -> float | None:
    """Seconds after which a curve is first at this loss, on the line between two looks; None: never."""
    for before, after in pairwise(curve):
        if after["loss"] <= loss:
            share = (before["loss"] - loss) / (before["loss"] - after["loss"])
            return before["seconds"] + share * (after["seconds"] - before["seconds"])
    return None


def panel(curves: dict[str, list[dict[str, float]]], seconds: float | None) -> Panel:
    """The two curves over minutes."""
    lines = []
    for (side, curve), role in zip(curves.items(), ("series2", "series1"), strict=True):
        x, y = (np.array([point[key] for point in curve], dtype=np.float64) for key in ("seconds", "loss"))
        lines.append(Line(SIDES[side], role, "points", x / 60, y, "square" if side == "padded" else "circle"))
    note = "" if seconds is None else f"anaume is at the padded loop's last loss after {seconds:.0f} s"
    return Panel("learning", "Validation loss (nats)", tuple(lines), Axis("minutes of training"), Axis(), note=note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--rows", type=int, default=8, help="documents a micro-batch of the padded loop")
    parser.add_argument("--rate", type=float, default=1e-3, help="its highest learning rate")
    parser.add_argument("--tokens", type=int, default=32_768, help="of the validation corpus")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)  # one process of it
    parser.add_argument("--run", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        write_json(given.out, train(given))
        return

    curves: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="anaume-learning-") as folder:
        prepare(chosen(given, "anaume"), Run(Path(folder) / "run"))
        for side in SIDES:
            part = Path(folder) / f"{side}.json"
            inner = ["--side", side, "--run", str(Path(folder) / "run"), "--out", str(part)]
            subprocess.run([sys.executable, *sys.argv, *inner], check=True)
            curves[side] = json.loads(part.read_text(encoding="utf-8"))

    last = {side: curve[-1] for side, curve in curves.items()}
    seconds = reached(curves["anaume"], last["padded"]["loss"])
    for side, point in last.items():
        print(f"{SIDES[side]}: loss {point['loss']:.3f} after {point['seconds']:.0f} s, {point['tokens']:,} tokens")
    if seconds is not None:
        share = seconds / last["padded"]["seconds"]
        print(f"anaume is at {last['padded']['loss']:.3f} after {seconds:.0f} s: {share:.3f} of the time")
    if given.out:
        write_json(given.out, {"curves": curves, "recipe": chosen(given, "anaume").model_dump(), "rate": given.rate})
    if given.figure:
        with style():
            grid([panel(curves, seconds)], columns=1, size=(6.0, 3.6)).savefig(given.figure, metadata={"Date": None})


if __name__ == "__main__":
    main()
