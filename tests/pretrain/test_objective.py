"""The compiled training path with numbers, on a CPU, and what a step waits for.

torch splits a compiled graph where gradients are sent, so what holds for one process need not hold for several.
"""

import itertools
import json
import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
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
from anaume.pretrain import loop
from anaume.pretrain.objective import Objective
from anaume.recipe import Model, Recipe
from anaume.tokenizer.load import Tokenizer

SLOTS = 512
# More than a bucket of gradients (1 MiB), so that there is something to split.
MODEL = Model(layers=4, hidden=128, heads=2, intermediate=192, positions=SLOTS, window=16)
ROWS = ([SLOTS], [200, 312], [4] * 128, [212] + [1] * 300, [8] * 64)


def _by_ends(
    _module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Layout, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention from `cu_seqlens` alone, as the GPU's kernel has it; (1, H, T, D) each in, (1, T, H, D) out."""
    positions = torch.arange(query.shape[2])
    documents = (positions[:, None] >= attention_mask.cu_seqlens).sum(1)
    allowed = documents[:, None] == documents[None, :]
    if kwargs["sliding_window"] is not None:
        allowed = allowed & ((positions[:, None] - positions[None, :]).abs() < kwargs["sliding_window"])
    scores = (query @ key.mT) * kwargs["scaling"]
    return (scores.masked_fill(~allowed, -math.inf).softmax(-1) @ value).transpose(1, 2), None


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """A process group of this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.usefixtures("one_process")
def test_one_graph_for_any_number_of_documents(
    checkpointing: bool, trained: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    AttentionInterface.register("by_ends", _by_ends)
    monkeypatch.setattr(mlm, "linear_cross_entropy", reference_cross_entropy)  # as on a GPU
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))  # the default writes kernels
    torch._dynamo.reset()
    counters.clear()
    network = mlm.build(MODEL, trained, 0).train()
    mlm.set_gradient_checkpointing(network, checkpointing)
    random = np.random.default_rng(0)
    objective = Objective(network, True, "float32")
    spread = DistributedDataParallel(
        objective, forward_sync_buffers=False, gradient_as_bucket_view=True, bucket_cap_mb=1
    )
    for lengths in ROWS:
        positions = np.concatenate([np.arange(length) for length in lengths])
        ids, labels = random.integers(300, 500, SLOTS), random.integers(300, 500, 60)
        batch = PackedBatch(ids, positions, np.array(lengths), np.arange(0, 480, 8), labels, np.array(lengths))
        inputs = mlm.to_device(batch, SLOTS, torch.device("cpu"))
        found = []
        for attention, loss in (("by_ends", spread), (REFERENCE, partial(mlm.loss_sum, network))):
            network.config._attn_implementation = attention
            network.zero_grad()
            value = loss(inputs)
            value.backward()
            found.append([value.detach(), *(x.grad.clone() for x in network.parameters() if x.grad is not None)])
        torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)
        assert counters["stats"]["unique_graphs"] == 1
    assert counters["aot_autograd"]["ok"] > 1  # the one graph was split


def test_the_time_of_a_step_ends_when_its_numbers_are_there(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that stands still but for the wait, a second a step: then tokens a second are tokens a step."""
    now = [0.0]
    check = loop._check

    def wait(*arguments: Any) -> None:
        now[0] += 1.0
        check(*arguments)

    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(loop, "_check", wait)
    short = tiny.model_copy(update={"stage": [tiny.stage[0].model_copy(update={"steps": 3})]})
    run = loop.pretrain(short, tmp_path / "run")
    lines = [json.loads(line) for line in run.metrics_file.read_text(encoding="utf-8").splitlines()]
    tokens = [0, *(line["tokens"] for line in lines if line["kind"] == "train")]
    rates = [line["tokens_per_second"] for line in lines if line["kind"] == "train"]
    assert rates == [after - before for before, after in itertools.pairwise(tokens)]


def test_the_counts_are_asked_for_before_the_step(
    tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for behind it, they would come when a GPU has done all of it, and it would stand still until the next."""
    events: list[str] = []

    def noted(name: str) -> Any:
        function = getattr(loop, name)

        def call(*arguments: Any) -> Any:
            events.append(name)
            return function(*arguments)

        return call

    for name in ("fetched", "update"):
        monkeypatch.setattr(loop, name, noted(name))
    short = tiny.model_copy(update={"stage": [tiny.stage[0].model_copy(update={"steps": 2})]})
    loop.pretrain(short, tmp_path / "run")
    assert events == ["fetched", "update"] * 2
