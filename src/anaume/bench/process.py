"""One process of `anaume bench`: one of the sides, timed step by step.

Comes in: a `BenchJob` as JSON on the command line. Goes out: a `Round` as JSON in the job's file.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from transformers.utils import logging

from anaume.bench.memory import peak_memory
from anaume.bench.rounds import BenchJob, Round, Step
from anaume.bench.stock import grouped_trainer, padded_trainer
from anaume.bench.trainer import own_trainer
from anaume.files import write_json
from anaume.model.flops import current_peak_flops
from anaume.model.mlm import training_precision
from anaume.pretrain.prepare import RunData
from anaume.pretrain.ranks.rank import this_rank
from anaume.recipe import parse
from anaume.run import Run
from anaume.tokenizer.load import load_tokenizer
from anaume.tokens.build import open_stores

# Least number of timed steps. One step before them is not timed, because it creates the optimizer's moments. If that
# step takes longer than SLOW_STEP seconds, a single timed step is enough, and each is told.
FEWEST, SLOW_STEP = 2, 5.0

TRAINERS = {"grouped": grouped_trainer, "padded": padded_trainer, "anaume": own_trainer}


def measure(job: BenchJob) -> Round:
    """Train one side for at least the job's seconds and `FEWEST` steps."""
    recipe, ranks = parse(job.recipe, "anaume bench"), this_rank()
    recipe = recipe.model_copy(update={"precision": training_precision(ranks.device, recipe.precision)})
    run = Run(Path(job.run))
    tokenizer = load_tokenizer(run.tokenizer)
    data = RunData(tokenizer, {"train": open_stores(run.tokens("train"), tokenizer)}, {})
    trainer = TRAINERS[job.side](recipe, data.plan(recipe, recipe.stage[0], "train"), job, ranks)
    before = current_peak_flops(ranks.device, trainer.products)
    slow = trainer.step(0).seconds > SLOW_STEP
    steps: list[Step] = []
    while len(steps) < (1 if slow else FEWEST) or sum(step.seconds for step in steps) < job.seconds:
        steps.append(trainer.step(1 + len(steps)))
        if slow:
            print(f"step {len(steps)}: {steps[-1].seconds:.1f} s", file=sys.stderr)
    peaks = before, current_peak_flops(ranks.device, trainer.products)
    products = str(trainer.products).removeprefix("torch.")
    memory, device, threads = peak_memory(ranks.device), str(ranks.device), torch.get_num_threads()
    return Round(job.side, products, steps, peaks, memory, device, threads)


def main() -> None:
    """Measure the side that the job on the command line names, and write its `Round`."""
    logging.set_verbosity_error()  # the libraries advise against padding, but one loop pads on purpose
    job = BenchJob(**json.loads(sys.argv[1]))
    write_json(Path(job.out), asdict(measure(job)))


if __name__ == "__main__":
    main()
