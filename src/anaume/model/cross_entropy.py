"""Cross entropy of a linear layer's logits, without holding all logits at once.

With 99,574 entries the logits of a micro-batch of 8,192 tokens take a gigabyte, and their gradient takes another. This
module computes the logits in tiles of some rows by some entries, and uses each tile while it is in the cache. The
softmax is the online one: sums are rescaled when a larger logit appears (Milakov and Gimelshein, arXiv 1805.02867). The
forward pass also computes the gradients, and the backward pass only scales them. The idea comes from "Cut your
losses" (arXiv 2411.09009); its kernels are not used.

A tile has the dtype of the rows; sums over tiles and over blocks are float32.

Shapes: M rows, C hidden size, V vocabulary; R rows of a block, E entries of a tile.
"""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from anaume.batches.batch import IGNORE
from anaume.model.memory import LOGIT_ROWS

# Rows of a block and entries of a tile. In float32 a tile takes 4 MB; a block's exponentials take 204 MB at V = 99,584.
ROWS, ENTRIES = LOGIT_ROWS, 2048


def reference_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """Sum of the cross entropies (nats) of `hidden @ weight.T + bias`: (M, C), (V, C), (V,), (M,) → ()."""
    return F.cross_entropy(F.linear(hidden, weight, bias).float(), labels, ignore_index=IGNORE, reduction="sum")


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """Sum of the cross entropies, by tiles on a CPU with gradients. Equivalent to `reference_cross_entropy`."""
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
            block = slice(start, start + ROWS)
            total += _block(hidden[block], entries, offsets, labels[block], buffer, gradients[0][block], *gradients[1:])
        ctx.save_for_backward(*gradients)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        # In place, because the weight's gradient is the largest tensor and each micro-batch has one backward pass.
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
    """The summed cross entropy of a block of rows, (R, C).

    Writes the gradient of the rows and adds to the gradients of the weight and the bias.
    """
    used = (labels != IGNORE).unsqueeze(1)
    targets = labels.where(used.squeeze(1), 0)
    largest = rows.new_full((len(rows), 1), -torch.inf)
    exponentials = rows.new_zeros(len(rows), 1, dtype=torch.float32)  # running sum of exp(logit − largest)
    expected = rows.new_zeros(rows.shape, dtype=torch.float32)  # running sum of exp(logit − largest) × entry
    tile_largest: list[Tensor] = []
    for entries, tile in _tiles(len(rows), len(weight), buffer):
        torch.addmm(bias[entries], rows, weight[entries].T, out=tile)
        before, largest = largest, torch.maximum(largest, tile.amax(1, keepdim=True))
        tile_largest.append(largest)
        tile.sub_(largest).exp_()
        rescale = (before.float() - largest).exp_()
        exponentials.mul_(rescale).add_(tile.sum(1, keepdim=True, dtype=torch.float32))
        expected.mul_(rescale).add_(tile @ weight[entries])
    # The gradient of the logits is the probabilities, less one at the target.
    for (entries, tile), largest_then in zip(_tiles(len(rows), len(weight), buffer), tile_largest, strict=True):
        to_probability = (largest_then.float() - largest).exp_().div_(exponentials).mul_(used).to(rows.dtype)
        weight_gradient[entries].add_(tile.T @ (rows * to_probability))
        bias_gradient[entries].add_((to_probability.T @ tile).squeeze(0))
    at_target = weight[targets]
    rows_gradient.copy_(expected.div_(exponentials).sub_(at_target).mul_(used))
    weight_gradient.index_add_(0, targets, (rows * used).float(), alpha=-1)
    bias_gradient.index_add_(0, targets, used.squeeze(1).float(), alpha=-1)
    # The target's logit is rounded as in the tiles, so that a loss is never below 0.
    target_logits = ((rows.float() * at_target).sum(1) + bias[targets]).to(rows.dtype).float()
    losses = (largest + exponentials.log()).squeeze(1) - target_logits
    return losses.where(used.squeeze(1), 0).sum()


def _tiles(rows: int, vocabulary: int, buffer: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The entries of each tile and its (R, E) view of the buffer; the views lie end to end."""
    for start in range(0, vocabulary, ENTRIES):
        entries = slice(start, min(start + ENTRIES, vocabulary))
        size = rows * (entries.stop - start)
        yield entries, buffer[rows * start : rows * start + size].view(rows, -1)
