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
from anaume.tokens.characters import tokens_per_character


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
    """A validation set in a stage.

    `name`                  its name in the recipe; "" for the sources without one
    `batches`               its batches, by the prefix of their fields in metrics.jsonl: "", and "causal_"
    `tokens_per_character`  of its whole text, [CLS] and [SEP] not counted; None if the characters were not counted
    """

    name: str
    batches: Mapping[str, Sequence[PackedBatch]]
    tokens_per_character: float | None

    @property
    def tokens(self) -> int:
        """Number of tokens of all batches."""
        return sum(batch.tokens for batches in self.batches.values() for batch in batches)


def held_out_sets(data: RunData, recipe: Recipe, stage: Stage) -> list[HeldOut]:
    """The validation sets of a stage, which share its `validation_tokens` equally.

    Each has masked batches, and for a causal stage causal ones of the same text beside them.
    """
    names = recipe.corpus.validation_sets
    return [_held_out(data, recipe, stage, name, stage.validation_tokens // len(names)) for name in names]


def _held_out(data: RunData, recipe: Recipe, stage: Stage, name: str, tokens: int) -> HeldOut:
    plans = {"": data.plan(recipe, stage, "validation", name=name)}
    if stage.objective == "causal":
        plans["causal_"] = data.plan(recipe, stage, "validation", causal=True, name=name)
    batches = {prefix: validation_batches(plan, tokens) for prefix, plan in plans.items()}
    return HeldOut(name, batches, tokens_per_character(data.validation_stores(recipe, name)))


def validate_all(
    network: ModernBertForMaskedLM,
    held_out: HeldOut,
    stage: Stage,
    ranks: Ranks,
    precision: Precision,
    advance: Callable[[int], None],
) -> dict[str, Validation]:
    """Score all batches of a validation set; `advance` is called with the tokens of each batch on this rank."""
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
