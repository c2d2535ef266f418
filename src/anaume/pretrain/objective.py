"""The step's loss as a module, for torch's DistributedDataParallel sums the gradients of modules."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import PackedBatch
from anaume.model.mlm import ModelInputs, loss_sum, product_dtype, to_device
from anaume.pretrain.ranks import Ranks
from anaume.recipe import Precision


class Objective(nn.Module):
    """Inputs → summed cross entropy (nats) over their hidden tokens.

    Compiled, a stage is one graph: of its shapes only the number of documents in a row changes, and that stays open.
    Graphs are counted for each objective by itself, so that no number of stages reaches torch's limit.
    """

    def __init__(self, network: ModernBertForMaskedLM, compiled: bool, precision: Precision) -> None:
        super().__init__()
        self.network = network
        self.precision: Precision = precision
        self.compiled = compiled
        self.loss_sum = loss_sum
        if compiled:
            self.loss_sum = torch.compile(  # type: ignore[call-overload]
                loss_sum, fullgraph=True, dynamic=False, isolate_recompiles=True
            )

    def forward(self, inputs: ModelInputs) -> Tensor:
        """The sum, ()."""
        if self.compiled:
            torch._dynamo.mark_dynamic(inputs.layout.cu_seqlens, 0)
        return self.loss_sum(self.network, inputs, self.precision)


def make_objective(network: ModernBertForMaskedLM, ranks: Ranks, compiled: bool, precision: Precision) -> nn.Module:
    """The objective, its gradients averaged over all ranks on the last micro-batch of a step.

    `compiled` counts on a GPU and in bfloat16; other paths take the documents' lengths as plain numbers, a graph each.
    """
    one_graph = ranks.device.type == "cuda" and product_dtype(ranks.device, precision) == torch.bfloat16
    objective = Objective(network, compiled and one_graph, precision)
    if ranks.count == 1:
        return objective
    # The buffers are rope's frequencies: the same everywhere.
    return DistributedDataParallel(objective, forward_sync_buffers=False, gradient_as_bucket_view=True)


def start_copy(values: Tensor) -> Callable[[], list[float]]:
    """Begin to copy `values`, (n,), to the host: the call waits for them, and for nothing that a GPU is given later."""
    if values.device.type != "cuda":
        return values.tolist
    copy = values.to("cpu", non_blocking=True)
    copied = torch.cuda.Event()
    copied.record()

    def wait() -> list[float]:
        copied.synchronize()
        return copy.tolist()

    return wait


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
