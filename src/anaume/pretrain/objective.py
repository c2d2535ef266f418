"""The step's loss as a module, for torch's DistributedDataParallel sums the gradients of modules."""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import PackedBatch
from anaume.model.mlm import Inputs, loss_sum, to_device
from anaume.pretrain.ranks import Ranks
from anaume.recipe import Precision


class Objective(nn.Module):
    """Inputs → summed cross entropy (nats) over their hidden tokens; compiled on a GPU, where shapes never change."""

    def __init__(self, network: ModernBertForMaskedLM, compiled: bool, precision: Precision) -> None:
        super().__init__()
        self.network = network
        self.precision: Precision = precision
        self.loss_sum = torch.compile(loss_sum, fullgraph=True, dynamic=False) if compiled else loss_sum

    def forward(self, inputs: Inputs) -> Tensor:
        """The sum, ()."""
        return self.loss_sum(self.network, inputs, self.precision)


def shared(network: ModernBertForMaskedLM, ranks: Ranks, compiled: bool, precision: Precision) -> nn.Module:
    """The objective, its gradients averaged over all ranks on the last micro-batch of a step."""
    objective = Objective(network, compiled and ranks.device.type == "cuda", precision)
    if ranks.count == 1:
        return objective
    # The buffers are rope's frequencies: the same everywhere.
    return DistributedDataParallel(objective, forward_sync_buffers=False, gradient_as_bucket_view=True)


def accumulate(
    objective: nn.Module, micro_batches: Sequence[PackedBatch], length: int, targets: Tensor, ranks: Ranks
) -> Tensor:
    """Add up the gradient of the mean loss over the `targets` hidden tokens of all ranks; gives that mean, ().

    Each hidden token weighs the same, in whichever micro-batch and on whichever rank it lies. `targets` is a tensor of
    the device, so that nothing waits for its value.
    """
    total = torch.zeros((), device=ranks.device)
    for number, batch in enumerate(micro_batches, 1):
        waits = isinstance(objective, DistributedDataParallel) and number < len(micro_batches)
        with objective.no_sync() if waits else nullcontext():  # type: ignore[operator]
            loss = objective(to_device(batch, length, ranks.device)) / targets
            (loss * ranks.count).backward()  # the average over ranks divides by their number
        total += loss.detach()
    return ranks.total(total)
