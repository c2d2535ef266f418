"""Fixed validation batches → loss and accuracy, scored by all ranks together."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import PackedBatch
from anaume.model.mlm import scores, to_device
from anaume.pretrain.ranks import Ranks
from anaume.recipe import Precision


@dataclass(frozen=True)
class Validation:
    """Mean cross entropy in nats, and the fraction of first guesses that are right, over `targets` masked tokens."""

    loss: float
    accuracy: float
    targets: int


def validate(
    network: ModernBertForMaskedLM,
    batches: Sequence[PackedBatch],
    length: int,
    ranks: Ranks,
    precision: Precision,
) -> Validation:
    """Score `batches`, shared out among the ranks; every masked token has the same weight. `length` is the stage's."""
    total = torch.zeros(3, dtype=torch.float64, device=ranks.device)
    for batch in batches[ranks.rank :: ranks.count]:
        losses, right = scores(network, to_device(batch, length, ranks.device), precision)
        total += torch.stack([losses.double().sum(), right.double().sum(), total.new_tensor(batch.targets)])
    loss, right, targets = ranks.total(total).tolist()
    return Validation(loss / max(1, targets), right / max(1, targets), int(targets))
