"""A side of `anaume bench`, ready to train; and the side that is anaume's own training."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from transformers import ModernBertForMaskedLM

from anaume.batches.loader import Position, Share
from anaume.batches.plan import BatchPlan
from anaume.batches.workers import prefetch
from anaume.bench.rounds import BenchJob, Step
from anaume.model import mlm
from anaume.model.flops import training_flops
from anaume.pretrain.loop import update
from anaume.pretrain.objective import make_objective
from anaume.pretrain.optim import learning_rate, optimizers
from anaume.pretrain.ranks.rank import Ranks
from anaume.recipe import Recipe


@dataclass(frozen=True)
class Trainer:
    """A network and the function that takes optimizer step `number` of the schedule. `products`: their dtype."""

    network: ModernBertForMaskedLM
    step: Callable[[int], Step]
    products: torch.dtype


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

    return Trainer(network, step, mlm.product_dtype(ranks.device, recipe.precision))
