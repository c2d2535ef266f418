"""Cross entropy of a linear layer's logits, without ever holding all logits at once.

With 99,574 entries the logits of a micro-batch of 8,192 tokens take a gigabyte, and as much again for their gradient.
Here they are made a few hundred rows at a time, and each such block is turned into its gradients in place while it is
still warm: the forward pass leaves the gradients behind, the backward pass only scales them. After "Cut your losses"
(arXiv 2411.09009), without its kernels.

Shapes: M rows, C hidden size, V vocabulary, B rows a block.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from anaume.batches.batch import IGNORE

# Rows a block: a block of 256 × 99,584 logits takes 102 MB; smaller ones make the products slower.
BLOCK = 256


def reference_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """Sum of the cross entropies (nats) of `hidden @ weight.T + bias`, (M, C), (V, C), (V,), (M,) → ()."""
    return F.cross_entropy(F.linear(hidden, weight, bias).float(), labels, ignore_index=IGNORE, reduction="sum")


def linear_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
    """The same, by blocks on the CPU when gradients are wanted."""
    if hidden.is_cuda or not torch.is_grad_enabled():
        return reference_cross_entropy(hidden, weight, bias, labels)
    loss = _Blocks.apply(hidden, weight, bias, labels)  # type: ignore[no-untyped-call]
    assert isinstance(loss, Tensor)
    return loss


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, labels: Tensor) -> Tensor:
        total = hidden.new_zeros(())
        hidden_gradient = torch.empty_like(hidden)
        weight_gradient, bias_gradient = torch.zeros_like(weight), torch.zeros_like(bias)
        logits = hidden.new_empty(min(BLOCK, len(hidden)), len(weight))
        for start in range(0, len(hidden), BLOCK):
            rows, targets = hidden[start : start + BLOCK], labels[start : start + BLOCK]
            used = targets != IGNORE
            block = torch.addmm(bias, rows, weight.T, out=logits[: len(rows)])
            targets = targets.where(used, 0).unsqueeze(1)
            log_sum = block.logsumexp(1, keepdim=True)
            total += ((log_sum - block.gather(1, targets)).squeeze(1) * used).sum()
            # From here on the block is the gradient of the logits: the probabilities, less one at the target.
            block.sub_(log_sum).exp_()
            block.scatter_add_(1, targets, block.new_full(targets.shape, -1.0))
            block.mul_(used.unsqueeze(1))
            torch.mm(block, weight, out=hidden_gradient[start : start + BLOCK])
            weight_gradient.addmm_(block.T, rows)
            bias_gradient += block.sum(0)
        ctx.save_for_backward(hidden_gradient, weight_gradient, bias_gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        # In place: each micro-batch has one backward pass, and the weight's gradient is the model's largest tensor.
        hidden, weight, bias = (x.mul_(gradients[0]) for x in ctx.saved_tensors)
        return hidden, weight, bias, None
