"""Loss and accuracy on the validation corpus, with the same text and the same masks each time."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import PackedBatch
from anaume.model.mlm import scores, to_device


@dataclass(frozen=True)
class Validation:
    """Mean cross entropy in nats and share of first guesses that are right, over `targets` hidden tokens."""

    loss: float
    accuracy: float
    targets: int


def validate(network: ModernBertForMaskedLM, batches: Sequence[PackedBatch], length: int) -> Validation:
    """Score fixed batches; every hidden token weighs the same."""
    device = network.device
    total = torch.zeros(2, dtype=torch.float64, device=device)
    targets = 0
    for batch in batches:
        losses, right = scores(network, to_device(batch, length, device))
        total += torch.stack([losses.double().sum(), right.double().sum()])
        targets += batch.targets
    loss, accuracy = (total / max(1, targets)).tolist()
    return Validation(loss, accuracy, targets)
