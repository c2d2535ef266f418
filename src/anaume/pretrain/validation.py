"""Fixed validation batches → loss and accuracy, scored by all ranks together."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import PackedBatch
from anaume.batches.loader import validation_batches
from anaume.model.mlm import scores, to_device
from anaume.pretrain.prepare import RunData
from anaume.pretrain.ranks.rank import Ranks
from anaume.recipe import Precision, Recipe, Stage


@dataclass(frozen=True)
class Validation:
    """Mean cross entropy in nats, and the fraction of first guesses that are right, over `targets` tokens.

    Both are NaN if there is no target.
    """

    loss: float
    accuracy: float
    targets: int


@dataclass(frozen=True)
class HeldOut:
    """The validation batches of a stage, by the prefix of their fields in metrics.jsonl: "", and "causal_"."""

    batches: Mapping[str, Sequence[PackedBatch]]

    @property
    def tokens(self) -> int:
        """Number of tokens of all batches."""
        return sum(batch.tokens for batches in self.batches.values() for batch in batches)


def held_out_batches(data: RunData, recipe: Recipe, stage: Stage) -> HeldOut:
    """The masked batches of a stage's validation, and for a causal stage causal ones of the same text beside them."""
    plans = {"": data.plan(recipe, stage, "validation")}
    if stage.objective == "causal":
        plans["causal_"] = data.plan(recipe, stage, "validation", causal=True)
    return HeldOut({prefix: validation_batches(plan, stage.validation_tokens) for prefix, plan in plans.items()})


def validate_all(
    network: ModernBertForMaskedLM,
    held_out: HeldOut,
    stage: Stage,
    ranks: Ranks,
    precision: Precision,
    advance: Callable[[int], None],
) -> dict[str, Validation]:
    """Score all batches of a stage's validation; `advance` is called with the tokens of each batch on this rank."""
    return {
        prefix: validate(network, batches, stage.length, ranks, precision, advance)
        for prefix, batches in held_out.batches.items()
    }


def validate(
    network: ModernBertForMaskedLM,
    batches: Sequence[PackedBatch],
    length: int,
    ranks: Ranks,
    precision: Precision,
    advance: Callable[[int], None] = lambda _: None,
) -> Validation:
    """Score `batches`, shared out among the ranks; every target has the same weight. `length` is the stage's."""
    total = torch.zeros(3, dtype=torch.float64, device=ranks.device)
    for batch in batches[ranks.rank :: ranks.count]:
        losses, right = scores(network, to_device(batch, length, ranks.device), precision)
        total += torch.stack([losses.double().sum(), right.double().sum(), total.new_tensor(batch.targets)])
        advance(ranks.count * batch.tokens)
    loss, right, targets = ranks.total(total).tolist()
    if not targets:
        return Validation(math.nan, math.nan, 0)
    return Validation(loss / targets, right / targets, int(targets))
