"""The loss of a step as a module, because torch's DistributedDataParallel sums the gradients of modules."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import PackedBatch
from anaume.model.mlm import ModelInputs, loss_sum, product_dtype, to_device
from anaume.pretrain.ranks.rank import Ranks
from anaume.recipe import Precision


class Objective(nn.Module):
    """ModelInputs → summed cross entropy (nats) over their masked tokens.

    A compiled stage is one graph: only the number of documents in a row changes, and that dimension is dynamic. Each
    objective counts its own recompilations, so that a run of many stages does not reach torch's limit.
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
        """The summed cross entropy, ()."""
        if self.compiled:
            torch._dynamo.mark_dynamic(inputs.layout.cu_seqlens, 0)
        return self.loss_sum(self.network, inputs, self.precision)


def make_objective(network: ModernBertForMaskedLM, ranks: Ranks, compiled: bool, precision: Precision) -> nn.Module:
    """The objective of a stage, whose gradients are averaged over all ranks on the last micro-batch of a step.

    `compiled` takes effect only on a GPU in bfloat16. Other attention paths read the documents' lengths as Python
    integers, so that each row would need its own graph.
    """
    one_graph = ranks.device.type == "cuda" and product_dtype(ranks.device, precision) == torch.bfloat16
    objective = Objective(network, compiled and one_graph, precision)
    if ranks.count == 1:
        return objective
    # The only buffers are the RoPE frequencies, which are equal on all ranks.
    return DistributedDataParallel(objective, forward_sync_buffers=False, gradient_as_bucket_view=True)


def start_copy(values: Tensor) -> Callable[[], list[float]]:
    """Begin to copy `values`, (n,), to the host; return a function that waits for the copy and returns the numbers.

    The function does not wait for work that a GPU receives after this call.
    """
    if values.device.type != "cuda":
        numbers = values.tolist()
        return lambda: numbers
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
    """Accumulate the gradient of the mean loss (nats) over the `targets` masked tokens of all ranks; return that mean.

    Every masked token has the same weight, whatever its micro-batch and rank. `targets`, (), and the result, (), are on
    the device, so that the host does not wait for their values. `length` is the stage's.
    """
    total = torch.zeros((), device=ranks.device)
    for number, batch in enumerate(micro_batches, 1):
        sums_later = isinstance(objective, DistributedDataParallel) and number < len(micro_batches)
        with objective.no_sync() if sums_later else nullcontext():  # type: ignore[operator]
            loss = objective(to_device(batch, length, ranks.device)) / targets
            (loss * ranks.count).backward()  # the average over ranks divides by their number
        total += loss.detach()
    return ranks.total(total)
