"""An encoder, a head and encoded splits → a trained network → its predictions.

A seed fixes the head's first weights, the order of the examples and the dropout.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import AdamW
from transformers import get_linear_schedule_with_warmup

from anaume.encoder.states import batches_by_length
from anaume.finetune.examples import PER_TOKEN, Head, Kind
from anaume.finetune.items import Encoded, Item
from anaume.finetune.network import build_network, logits, loss_of, use_all, use_only

# Examples per batch, as in the paper (section 4.1). The other values are the defaults of transformers' Trainer. Weight
# decay is 0, which makes `UsedEmbedding` exact.
BATCH = 32
BETAS, EPSILON = (0.9, 0.999), 1e-8
PREDICT_TOKENS = 8_192


@dataclass(frozen=True)
class Settings:
    """The hyperparameters of a training.

    `warmup`  share of the steps over which the learning rate rises; JGLUE's own scripts have a tenth
    `clip`    largest norm of the gradient; 0 means that it is not clipped
    """

    learning_rate: float
    epochs: int
    seed: int
    warmup: float = 0.1
    clip: float = 1.0


def train(
    model: str,
    head: Head,
    splits: Mapping[str, Encoded],
    settings: Settings,
    device: torch.device,
    on_step: Callable[[], None] = lambda: None,
    *,
    whole: bool = False,
) -> Any:
    """Open `model` with a head and train it on `splits["train"]`.

    The network's embedding table is cut to the ids of `splits`, so it can predict these splits only. With `whole`, the
    trained network gets its whole table back.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        network = build_network(model, head, device)
        table = use_only(network, splits.values())
        fit(network, head.kind, splits["train"].items, settings, on_step)
    if whole:
        use_all(network, table)
    return network


def fit(
    network: Any,
    kind: Kind,
    items: Sequence[Item],
    settings: Settings,
    on_step: Callable[[], None] = lambda: None,
) -> None:
    """Train all weights by AdamW, in batches of `BATCH` items whose order is drawn anew for each epoch.

    The learning rate rises over the warm-up and falls linearly to zero. `on_step` is called after each step.
    """
    weights = [p for p in network.parameters() if p.requires_grad]
    optimizer = AdamW(weights, lr=settings.learning_rate, betas=BETAS, eps=EPSILON, weight_decay=0.0, fused=True)
    steps = steps_of(len(items), settings.epochs)
    schedule = get_linear_schedule_with_warmup(optimizer, math.ceil(settings.warmup * steps), steps)
    network.train()
    for epoch in range(settings.epochs):
        order = np.random.default_rng((settings.seed, epoch)).permutation(len(items))
        for start in range(0, len(items), BATCH):
            batch = [items[i] for i in order[start : start + BATCH]]
            batch.sort(key=lambda item: len(item.rows[0].ids))  # the packed attention takes equal lengths in one call
            loss = loss_of(kind, logits(network, kind, [row for item in batch for row in item.rows]), batch)
            optimizer.zero_grad()
            loss.backward()
            if settings.clip:
                nn.utils.clip_grad_norm_(weights, settings.clip)
            optimizer.step()
            schedule.step()
            on_step()


def steps_of(items: int, epochs: int) -> int:
    """Return the optimizer steps of a training; the last batch of an epoch may be short."""
    return epochs * math.ceil(items / BATCH)


def predict(network: Any, kind: Kind, items: Sequence[Item]) -> list[NDArray[np.float32]]:
    """Return the logits of each item: (classes,) or (choices,), or for its tokens (tokens, 2) or (tokens, classes)."""
    rows = [row for item in items for row in item.rows]
    of_rows: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(rows)
    network.eval()
    for batch in batches_by_length([len(row.ids) for row in rows], PREDICT_TOKENS):
        batch_rows = [rows[i] for i in batch]
        with torch.inference_mode():
            outputs = logits(network, kind, batch_rows).cpu()
        parts = outputs.split([len(row.ids) for row in batch_rows] if kind in PER_TOKEN else 1)
        for i, part in zip(batch, parts, strict=True):
            of_rows[i] = part.numpy() if kind in PER_TOKEN else part.numpy().ravel()
    per_item = len(items[0].rows)
    if per_item == 1:
        return of_rows
    return [np.concatenate(of_rows[i : i + per_item]) for i in range(0, len(of_rows), per_item)]
