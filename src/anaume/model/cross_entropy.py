"""Cross entropy of a linear layer's logits, without ever holding all logits at once.

With 99,574 entries the logits of a micro-batch of 8,192 tokens take a gigabyte, and as much again for their gradient.
Here they are made a tile at a time, some rows by some entries, and a tile is turned into its exponentials and used
while it is still in the cache: the largest logit so far stands in for the final one, and what was summed before is
scaled when a larger one comes (Milakov and Gimelshein, arXiv 1805.02867). The forward pass leaves the gradients behind,
the backward pass only scales them. After "Cut your losses" (arXiv 2411.09009), without its kernels.

A tile is of the rows' dtype; sums over tiles and over blocks are float32.

Shapes: M rows, C hidden size, V vocabulary; R rows a block, E entries a tile.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from anaume.batches.batch import IGNORE

# Rows a block and entries a tile: in float32 a tile takes 4 MB and a block's exponentials 204 MB at 99,584 entries.
ROWS, ENTRIES = 512, 2048


def reference_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """Sum of the cross entropies (nats) of `hidden @ weight.T + bias`, (M, C), (V, C), (V,), (M,) → ()."""
    return F.cross_entropy(F.linear(hidden, weight, bias).float(), labels, ignore_index=IGNORE, reduction="sum")


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """The same, by tiles on the CPU when gradients are wanted."""
    if hidden.is_cuda or not torch.is_grad_enabled():
        return reference_cross_entropy(hidden, weight, bias, labels)
    loss = _Tiles.apply(hidden, weight, bias, labels)  # type: ignore[no-untyped-call]
    assert isinstance(loss, Tensor)
    return loss


class _Tiles(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
        total = weight.new_zeros(())
        entries, offsets = weight.to(hidden.dtype), bias.to(hidden.dtype)
        gradients = torch.empty_like(hidden), torch.zeros_like(weight), torch.zeros_like(bias)
        buffer = hidden.new_empty(min(ROWS, len(hidden)) * len(weight))
        for start in range(0, len(hidden), ROWS):
            here = slice(start, start + ROWS)
            total += _block(hidden[here], entries, offsets, labels[here], buffer, gradients[0][here], *gradients[1:])
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        # In place: each micro-batch has one backward pass, and the weight's gradient is the model's largest tensor.
        hidden, weight, bias = (x.mul_(gradients[0]) for x in ctx.saved_tensors)
        return hidden, weight, bias, None


def _block(
    rows: Tensor,
    weight: Tensor,
    bias: Tensor,
    labels: Tensor,
    buffer: Tensor,
    rows_gradient: Tensor,
    weight_gradient: Tensor,
    bias_gradient: Tensor,
) -> Tensor:
    """The sum over (R, C) rows. Writes their gradient, and adds to those of the weight and the bias."""
    used = (labels != IGNORE).unsqueeze(1)
    targets = labels.where(used.squeeze(1), 0)
    largest = rows.new_full((len(rows), 1), -torch.inf)
    exponentials = rows.new_zeros(len(rows), 1, dtype=torch.float32)  # the sum so far, of exp(logit − largest)
    expected = rows.new_zeros(rows.shape, dtype=torch.float32)  # the sum so far, of exp(logit − largest) × entry
    at_tile: list[Tensor] = []
    for entries, tile in _tiles(len(rows), len(weight), buffer):
        torch.addmm(bias[entries], rows, weight[entries].T, out=tile)
        before, largest = largest, torch.maximum(largest, tile.amax(1, keepdim=True))
        at_tile.append(largest)
        tile.sub_(largest).exp_()
        rescale = (before.float() - largest).exp_()
        exponentials.mul_(rescale).add_(tile.sum(1, keepdim=True, dtype=torch.float32))
        expected.mul_(rescale).add_(tile @ weight[entries])
    # The gradient of the logits: the probabilities, less one at the target.
    for (entries, tile), then in zip(_tiles(len(rows), len(weight), buffer), at_tile, strict=True):
        to_probability = (then.float() - largest).exp_().div_(exponentials).mul_(used).to(rows.dtype)
        weight_gradient[entries].add_(tile.T @ (rows * to_probability))
        bias_gradient[entries].add_((to_probability.T @ tile).squeeze(0))
    at_target = weight[targets]
    rows_gradient.copy_(expected.div_(exponentials).sub_(at_target).mul_(used))
    weight_gradient.index_add_(0, targets, (rows * used).float(), alpha=-1)
    bias_gradient.index_add_(0, targets, used.squeeze(1).float(), alpha=-1)
    # Rounded as the tiles are, so that a loss is never below 0.
    target_logits = ((rows.float() * at_target).sum(1) + bias[targets]).to(rows.dtype).float()
    losses = (largest + exponentials.log()).squeeze(1) - target_logits
    return losses.where(used.squeeze(1), 0).sum()


def _tiles(rows: int, vocabulary: int, buffer: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Each tile's entries, and its (R, E) place in the buffer, end to end."""
    for start in range(0, vocabulary, ENTRIES):
        entries = slice(start, min(start + ENTRIES, vocabulary))
        size = rows * (entries.stop - start)
        yield entries, buffer[rows * start : rows * start + size].view(rows, -1)
