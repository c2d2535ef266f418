"""`anaume bench`: this machine, anaume beside the loops that a user of Hugging Face's libraries would write.

Comes in: a recipe with one stage. Goes out: a table, and every step as JSON. The rule: all sides read the same
documents in the same order and take an optimizer step per micro-batch, and only text counts, not padding. The sides
take turns, each time in a process of its own, so that each has its own peak of memory; before and after its
steps the process measures the speed of the machine at that moment.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from anaume.bench.rounds import OWN, SIDES, BenchJob, Round, Step
from anaume.bench.summary import show, summarize
from anaume.errors import UserError
from anaume.files import write_json
from anaume.files.outputs import require_new_file
from anaume.pretrain.prepare import prepare
from anaume.recipe import Recipe
from anaume.run import Run

# Seconds that a process takes for its start and the products of matrices, which no budget counts.
OVERHEAD = 30.0


def bench(recipe: Recipe, rows: int, seconds: float, rounds: int, out: Path | None) -> dict[str, Any]:
    """Run all sides `rounds` times in turn, at least `seconds` each; print the table and write the result to `out`.

    `rows` is the number of rows per micro-batch of a stock loop; 0 gives it as many slots as anaume has.

    Raises:
        UserError: `out` exists; the corpus or the tokenizer is not usable; anaume's side failed. A stock loop that
            fails, for example because memory ran out, is shown as failed.
    """
    if out:
        require_new_file(out)
    stage = recipe.stage[0]
    rows = rows or max(1, stage.micro_batch_tokens // stage.length)
    console = Console(stderr=True)
    measured: list[Round] = []
    failures: dict[str, str] = {}  # reason by stock loop
    slowest = 0.0  # seconds of the slowest process
    with tempfile.TemporaryDirectory(prefix="anaume-bench-") as folder:
        run = Run(Path(folder) / "run")
        tokenizer = prepare(recipe, run).tokenizer
        for number in range(rounds):
            # A step may take longer than a round should: the budget is that of all rounds together.
            if number and (number + 1) * slowest > rounds * seconds:
                console.print(f"{number} of {rounds} rounds: a step is too long for more in {rounds} × {seconds:g} s")
                break
            for side, name in SIDES.items():
                if side in failures:
                    continue
                job = BenchJob(
                    side, recipe.model_dump(), str(run.folder), rows, seconds, number, str(Path(folder) / "out")
                )
                progress = f"round {number + 1} of {rounds}: {name}"
                start = time.perf_counter()
                try:
                    with console.status(f"{progress} …"):
                        measured.append(measure_in_child(job))
                except UserError as error:
                    if side == OWN:
                        raise
                    failures[side] = str(error)
                    measured = [finished for finished in measured if finished.side != side]
                    console.print(str(error), highlight=False)
                else:
                    slowest = max(slowest, time.perf_counter() - start - OVERHEAD)
                    console.print(f"{progress}: {measured[-1].tokens_per_second:,.0f} tokens/s", highlight=False)
    result = summarize(recipe, tokenizer.vocab_size, rows, measured, failures)
    if out:
        write_json(out, result)
    show(result)
    return result


def measure_in_child(job: BenchJob) -> Round:
    """Measure one side in a process of its own.

    Raises:
        UserError: the process failed.
    """
    command = [sys.executable, "-m", "anaume.bench.process", json.dumps(asdict(job))]
    child = subprocess.run(command, check=False)
    if child.returncode:
        advice = "its memory was probably not enough" if child.returncode < 0 else "see its message above"
        raise UserError(
            f"{SIDES[job.side]}: ended with status {child.returncode}: {advice}; expected fewer --rows than {job.rows}"
            " (of a stock loop) or a smaller micro_batch_tokens (of anaume), if memory ran out"
        )
    table = json.loads(Path(job.out).read_text(encoding="utf-8"))
    steps = [Step(**step) for step in table.pop("steps")]
    return Round(steps=steps, **table)
