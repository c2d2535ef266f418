"""Trace the CUDA path without a GPU: a training step over fake tensors on a fake CUDA device, facts as JSON.

    python tests/model/cuda_trace.py LIBRARY     LIBRARY is the compiled fake_cuda.cpp

A fake tensor has a shape, a dtype and a device, but no numbers. An operation that needs a number of the device
(`.item()`, `if tensor`) raises an error, and so does one that mixes devices.
"""

import ctypes
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

ctypes.CDLL(sys.argv[1])

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch._dynamo.utils import counters  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.fx.experimental.symbolic_shapes import ShapeEnv  # noqa: E402
from torch.nn.attention import varlen  # noqa: E402
from transformers import ModernBertForMaskedLM  # noqa: E402
from transformers.initialization import no_init_weights  # noqa: E402

from anaume.batches.batch import PackedBatch  # noqa: E402
from anaume.model import mlm  # noqa: E402
from anaume.model.attention import PACKED  # noqa: E402
from anaume.pretrain.loop import update  # noqa: E402
from anaume.pretrain.objective import make_objective  # noqa: E402
from anaume.pretrain.optim import optimizers  # noqa: E402
from anaume.pretrain.ranks.rank import Ranks  # noqa: E402
from anaume.recipe import Model, Precision, Stage  # noqa: E402
from anaume.tokenizer.load import Tokenizer  # noqa: E402

CUDA = torch.device("cuda")
SMALL = Model(layers=2, hidden=32, heads=2, intermediate=48, positions=256, window=16)
STAGE = Stage(name="stage", length=256, batch_tokens=256, micro_batch_tokens=256)
LENGTHS = ([100, 56, 100], [200, 50, 6])
# Rows of 1,024 slots with 1 to 1,000 documents.
ROWS = ([1024], [500, 524], [4] * 256, [24] + [1] * 1000, [16] * 64, [8] * 64 + [512], [124] + [3] * 300)


def batch(lengths: list[int], scored: int) -> PackedBatch:
    """A batch of documents with these lengths; all ids are 1."""
    positions = np.concatenate([np.arange(length) for length in lengths])
    ones = np.ones(scored, np.int64)
    return PackedBatch(
        np.ones_like(positions), positions, np.array(lengths), np.arange(scored), ones, np.array(lengths)
    )


def network_of(model: Model, vocab_size: int) -> ModernBertForMaskedLM:
    """The model on the fake device, set up as by `mlm.build`. Call it in a FakeTensorMode."""
    tokenizer = Tokenizer(Path(), vocab_size, 3, 4, 5, 6, 0, tuple(range(8)), "", "none", lambda _: [])
    with no_init_weights(), CUDA:  # the usual initialisers read numbers
        network = ModernBertForMaskedLM(mlm.config(model, tokenizer, vocab_size))
    network.config._attn_implementation = PACKED
    network.train()
    return network


def step(optimizer: str) -> dict[str, Any]:
    """An optimizer step of `anaume pretrain`: the arguments of attention, and the devices and dtypes of all tensors."""
    calls: list[dict[str, Any]] = []
    original = varlen.varlen_attn

    def recorded(*tensors: Any, **options: Any) -> Any:
        query, key, value, begins = tensors[:4]
        calls.append(
            {
                "types": sorted({str(x.dtype) for x in (query, key, value)}),
                "shapes": [list(x.shape) for x in (query, key, value)],
                "begins": [str(begins.dtype), *begins.shape],
                "longest": tensors[5:7],
                "window": options["window_size"],
                "scale": options["scale"],
            }
        )
        return original(*tensors, **options)

    with patch.object(varlen, "varlen_attn", recorded):
        network = network_of(SMALL, 576)
        stage = STAGE.model_copy(update={"optimizer": optimizer})
        steppers, ranks = optimizers(network, stage), Ranks(0, 1, CUDA)
        batches = [batch(lengths, 60) for lengths in LENGTHS[:2]]
        objective = make_objective(network, ranks, False, "auto")
        loss, norm = update(objective, steppers, stage, 1e-3, batches, torch.ones((), device=CUDA), ranks)
    states = [value for stepper in steppers for state in stepper.state.values() for value in state.values()]
    return {
        "calls": calls,
        "devices": sorted({str(x.device) for x in (loss, norm, *network.parameters(), *states)}),
        "types": sorted({str(x.dtype) for x in (loss, norm, *network.parameters(), *states)}),
        "fused": [group.get("fused") for stepper in steppers for group in stepper.param_groups],
    }


def compiled(precision: Precision) -> list[int]:
    """Number of graphs compiled after each batch of two stages, forward and backward; `fullgraph` forbids breaks."""
    torch._dynamo.reset()
    counters.clear()
    network = network_of(SMALL, 576)
    graphs = []
    for slots in (1024, 2048):
        with patch("torch.compile", partial(torch.compile, backend="aot_eager")):  # the default writes kernels
            objective = make_objective(network, Ranks(0, 1, CUDA), True, precision)
        for lengths in ROWS:
            rest = [slots - 1024] if slots > 1024 else []
            objective(mlm.to_device(batch(lengths + rest, slots // 16), slots, CUDA)).backward()
            graphs.append(counters["stats"]["unique_graphs"])
    return graphs


def kept(model: Model, vocab_size: int, slots: int, scored: int) -> int:
    """Bytes that autograd keeps for the backward pass, without the weights."""
    network = network_of(model, vocab_size)
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    storages: dict[int, Any] = {}

    def record(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            storages[storage._cdata] = storage  # the reference keeps the key unique
        return tensor

    inputs = mlm.to_device(batch([1024] * (slots // 1024), scored), 1024, CUDA)
    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        loss = mlm.loss_sum(network, inputs)
    assert loss.is_cuda
    return sum(storage.nbytes() for storage in storages.values())


def main() -> None:
    # A build without CUDA switches autocast for it off.
    patch("torch.cuda.amp.common.amp_definitely_not_available", lambda: False).start()
    patch("torch.cuda.is_bf16_supported", lambda: True).start()
    patch("torch.Tensor.pin_memory", lambda tensor: tensor).start()  # needs a driver
    with FakeTensorMode(allow_non_fake_inputs=True, shape_env=ShapeEnv()):
        facts = {
            "adamw": step("adamw"),
            "muon": step("muon"),
            "graphs": {precision: compiled(precision) for precision in ("auto", "float32")},
            "kept": kept(Model(), 99_584, 26_624, 7_987),
        }
    print(json.dumps(facts))
    sys.stdout.flush()
    os._exit(0)  # autograd's thread for the fake device can't be joined


if __name__ == "__main__":
    main()
