"""One process of `anaume bench`: one of the two sides, timed step by step.

Comes in: a `BenchJob` as JSON on the command line. Goes out: a `Round` as JSON in the job's file. The rule: the padded
side stays as it is, because results are compared with it. It is the loop of the libraries' own examples: truncated
documents, one per row, are padded to the longest of the micro-batch and masked by `DataCollatorForLanguageModeling`;
`ModernBertForMaskedLM` runs with sdpa and gives logits everywhere; gradients are clipped, and `AdamW` takes the step.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import torch
from transformers import AutoTokenizer, DataCollatorForLanguageModeling, ModernBertForMaskedLM
from transformers.utils import logging

from anaume.batches.batch import IGNORE
from anaume.batches.loader import Position, Share
from anaume.batches.plan import BatchPlan
from anaume.batches.workers import prefetch
from anaume.bench.memory import peak_memory
from anaume.bench.rounds import BenchJob, Round, Step
from anaume.files import write_json
from anaume.model import mlm
from anaume.model.flops import peak_flops, training_flops
from anaume.pretrain.loop import update
from anaume.pretrain.objective import make_objective
from anaume.pretrain.optim import learning_rate, optimizers
from anaume.pretrain.prepare import RunData
from anaume.pretrain.ranks.rank import Ranks, this_rank
from anaume.recipe import Recipe, parse
from anaume.run import Run
from anaume.tokenizer.load import load_tokenizer
from anaume.tokens.build import open_stores

# Least number of timed steps. One step before them is not timed, because it creates the optimizer's moments. If that
# step takes longer than SLOW_STEP seconds, a single timed step is enough, and each is told.
FEWEST, SLOW_STEP = 2, 5.0


@dataclass(frozen=True)
class Trainer:
    """One side, ready to train: its network, and the function that takes step `number` of the schedule."""

    network: ModernBertForMaskedLM
    step: Callable[[int], Step]


def padded_rows(plan: BatchPlan, rows: int, epoch: int) -> Iterator[list[list[int]]]:
    """Endless micro-batches of `rows` documents in the plan's order, each [CLS], at most `length` - 2 ids, [SEP]."""
    tokenizer = plan.tokenizer

    def documents() -> Iterator[list[int]]:
        at = 0
        while True:
            first = at % plan.order.epoch_size
            source, document = plan.order.at(epoch + at // plan.order.epoch_size, first, first + rows)
            for number, index in zip(source, document, strict=True):
                ids = plan.stores[number].document(int(index))
                if len(ids) >= max(1, plan.min_document_tokens):
                    yield [tokenizer.cls_id, *ids[: plan.length - 2].tolist(), tokenizer.sep_id]
            at += len(source)

    stream = documents()
    while True:
        yield list(islice(stream, rows))


def padded_trainer(recipe: Recipe, plan: BatchPlan, job: BenchJob, ranks: Ranks) -> Trainer:
    """The padded Hugging Face loop: `job.rows` documents per step, in epoch `job.round`."""
    stage, tokenizer = recipe.stage[0], plan.tokenizer
    torch.manual_seed(recipe.seed)
    network = ModernBertForMaskedLM(mlm.config(recipe.model, tokenizer, tokenizer.vocab_size))
    network.set_attn_implementation("sdpa")
    torch.nn.Module.to(network, ranks.device).train()
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=stage.learning_rate,
        betas=(stage.adam_beta1, stage.adam_beta2),
        eps=stage.adam_eps,
        weight_decay=stage.weight_decay,
    )
    collate = DataCollatorForLanguageModeling(
        AutoTokenizer.from_pretrained(tokenizer.folder), mlm_probability=stage.mask_rate, seed=recipe.seed
    )
    stream = padded_rows(plan, job.rows, job.round)

    def step(number: int) -> Step:
        start = time.perf_counter()
        rows = next(stream)
        batch = collate([{"input_ids": row} for row in rows]).to(ranks.device)
        with mlm.mixed_precision(ranks.device):
            loss = network(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), stage.gradient_clip)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(stage, min(number, stage.steps - 1))
        optimizer.step()
        optimizer.zero_grad()
        loss_value = loss.item()
        seconds = time.perf_counter() - start
        lengths, scored = batch["attention_mask"].sum(1), int((batch["labels"] != IGNORE).sum())
        operations = training_flops(recipe.model, tokenizer.vocab_size, lengths.cpu().numpy(), scored)
        return Step(seconds, int(lengths.sum()), batch["input_ids"].numel(), operations, loss_value)

    return Trainer(network, step)


def own_trainer(recipe: Recipe, plan: BatchPlan, job: BenchJob, ranks: Ranks) -> Trainer:
    """The training of `anaume pretrain`: one packed micro-batch per step, in epoch `job.round`."""
    stage = recipe.stage[0]
    network = mlm.build(recipe.model, plan.tokenizer, recipe.seed, ranks.device).train()
    mlm.set_rope_theta(network, stage.rope_theta, stage.local_rope_theta)
    mlm.set_gradient_checkpointing(network, stage.gradient_checkpointing)
    steppers, objective = optimizers(network, stage), make_objective(network, ranks, recipe.compile, recipe.precision)
    loaders = 1 if ranks.device.type == "cuda" else 0
    # The loader ends with this process.
    stream = ExitStack().enter_context(prefetch(plan, Position(epoch=job.round), Share(), loaders))

    def step(number: int) -> Step:
        start = time.perf_counter()
        batch, _ = next(stream)
        targets = mlm.tensor_to_device(torch.tensor(float(batch.targets)), ranks.device)
        rate = learning_rate(stage, min(number, stage.steps - 1))
        loss, _ = update(objective, steppers, stage, rate, [batch], targets, ranks)
        loss_value = loss.item()
        seconds = time.perf_counter() - start
        operations = training_flops(
            recipe.model, plan.tokenizer.vocab_size, batch.text_lengths, batch.targets, batch.causal
        )
        return Step(seconds, batch.tokens, len(batch.input_ids), operations, loss_value)

    return Trainer(network, step)


TRAINERS = {"padded": padded_trainer, "anaume": own_trainer}


def measure(job: BenchJob) -> Round:
    """Train one side for at least the job's seconds and `FEWEST` steps."""
    recipe, ranks = parse(job.recipe, "anaume bench"), this_rank()
    recipe = recipe.model_copy(update={"precision": mlm.training_precision(ranks.device, recipe.precision)})
    run = Run(Path(job.run))
    tokenizer = load_tokenizer(run.tokenizer)
    data = RunData(tokenizer, {"train": open_stores(run.tokens("train"), tokenizer)}, {})
    trainer = TRAINERS[job.side](recipe, data.plan(recipe, recipe.stage[0], "train"), job, ranks)
    dtype = mlm.product_dtype(ranks.device, recipe.precision if job.side == "anaume" else "auto")
    before = peak_flops(ranks.device, dtype)
    slow = trainer.step(0).seconds > SLOW_STEP
    steps: list[Step] = []
    while len(steps) < (1 if slow else FEWEST) or sum(step.seconds for step in steps) < job.seconds:
        steps.append(trainer.step(1 + len(steps)))
        if slow:
            print(f"step {len(steps)}: {steps[-1].seconds:.1f} s", file=sys.stderr)
    peaks = before, peak_flops(ranks.device, dtype)
    products = str(dtype).removeprefix("torch.")
    memory, device, threads = peak_memory(ranks.device), str(ranks.device), torch.get_num_threads()
    return Round(job.side, products, steps, peaks, memory, device, threads)


def main() -> None:
    """Measure the side that the job on the command line names, and write its `Round`."""
    logging.set_verbosity_error()  # the libraries advise against padding, but this loop pads on purpose
    job = BenchJob(**json.loads(sys.argv[1]))
    write_json(Path(job.out), asdict(measure(job)))


if __name__ == "__main__":
    main()
