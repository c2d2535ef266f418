"""The compiled training path on a CPU, in a process group, and the copy of numbers to the host.

torch splits a compiled graph at the buckets of gradients, so a process group is needed to test it.
"""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch._dynamo.utils import counters
from torch.nn.parallel import DistributedDataParallel
from transformers import AttentionInterface

from anaume.batches.batch import PackedBatch
from anaume.model import mlm
from anaume.model.attention import REFERENCE, Layout
from anaume.model.cross_entropy import reference_cross_entropy
from anaume.pretrain.objective import Objective, start_copy
from anaume.recipe import Model
from anaume.tokenizer.load import Tokenizer

SLOTS = 512
# The gradients exceed a bucket (1 MiB), so that the graph is split.
MODEL = Model(layers=4, hidden=128, heads=2, intermediate=192, positions=SLOTS, window=16)
ROWS = ([SLOTS], [200, 312], [4] * 128, [212] + [1] * 300, [8] * 64)


def _by_cu_seqlens(
    _module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Layout, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention from `cu_seqlens` alone, as in the GPU's kernel: (1, H, T, D) each in, (1, T, H, D) out."""
    positions = torch.arange(query.shape[2])
    documents = (positions[:, None] >= attention_mask.cu_seqlens).sum(1)
    allowed = documents[:, None] == documents[None, :]
    if kwargs["sliding_window"] is not None:
        allowed = allowed & ((positions[:, None] - positions[None, :]).abs() < kwargs["sliding_window"])
    scores = (query @ key.mT) * kwargs["scaling"]
    return (scores.masked_fill(~allowed, -math.inf).softmax(-1) @ value).transpose(1, 2), None


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """A process group with this process as its only rank."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.usefixtures("one_process")
def test_one_graph_for_any_number_of_documents(
    checkpointing: bool, trained: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    AttentionInterface.register("by_cu_seqlens", _by_cu_seqlens)
    monkeypatch.setattr(mlm, "linear_cross_entropy", reference_cross_entropy)  # as on a GPU
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))  # the default writes kernels
    torch._dynamo.reset()
    counters.clear()
    network = mlm.build(MODEL, trained, 0).train()
    mlm.set_gradient_checkpointing(network, checkpointing)
    random = np.random.default_rng(0)
    objective = Objective(network, True, "float32")
    distributed = DistributedDataParallel(
        objective, forward_sync_buffers=False, gradient_as_bucket_view=True, bucket_cap_mb=1
    )
    for lengths in ROWS:
        positions = np.concatenate([np.arange(length) for length in lengths])
        ids, labels = random.integers(300, 500, SLOTS), random.integers(300, 500, 60)
        batch = PackedBatch(ids, positions, np.array(lengths), np.arange(0, 480, 8), labels, np.array(lengths))
        inputs = mlm.to_device(batch, SLOTS, torch.device("cpu"))
        results = []
        for attention, loss in (("by_cu_seqlens", distributed), (REFERENCE, partial(mlm.loss_sum, network))):
            network.config._attn_implementation = attention
            network.zero_grad()
            value = loss(inputs)
            value.backward()
            results.append([value.detach(), *(x.grad.clone() for x in network.parameters() if x.grad is not None)])
        torch.testing.assert_close(*results, atol=1e-4, rtol=1e-4)
        assert counters["stats"]["unique_graphs"] == 1
    assert counters["aot_autograd"]["ok"] > 1  # the one graph was split


def test_a_copy_holds_the_numbers_from_before_later_work() -> None:
    values = torch.tensor([3.0, 1.0])
    read = start_copy(values)
    values.zero_()
    assert read() == [3.0, 1.0]
