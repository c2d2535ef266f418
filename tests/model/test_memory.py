"""The forecast of memory on this processor against the tensors that autograd keeps."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import ModernBertForMaskedLM

from anaume.batches.batch import PackedBatch
from anaume.model import mlm
from anaume.model.attention import PACKED
from anaume.model.memory import FLOAT, HALF, memory
from anaume.recipe import Model, Precision, Stage
from anaume.tokenizer.load import Tokenizer

MODEL, ENTRIES, SLOTS = Model(layers=6, hidden=128, heads=2, intermediate=192), 1_024, 2_048


def kept(precision: Precision, scored: int) -> int:
    """Bytes that autograd keeps for the backward pass of a row of two documents, without the weights."""
    tokenizer = Tokenizer(Path(), ENTRIES, 3, 4, 5, 6, 0, tuple(range(8)), "", "none", lambda _: [])
    network = ModernBertForMaskedLM(mlm.config(MODEL, tokenizer, ENTRIES)).train()
    network.config._attn_implementation = PACKED
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    storages: dict[int, torch.UntypedStorage] = {}

    def record(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            storages[storage._cdata] = storage  # the reference keeps the key unique
        return tensor

    lengths = np.array([SLOTS // 2] * 2)
    positions = np.concatenate([np.arange(length) for length in lengths])
    places = np.arange(scored)
    batch = PackedBatch(np.ones_like(positions), positions, lengths, places, np.ones_like(places), lengths)
    inputs = mlm.to_device(batch, SLOTS // 2, torch.device("cpu"))
    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        mlm.loss_sum(network, inputs, precision)
    return sum(storage.nbytes() for storage in storages.values())


@pytest.mark.parametrize(("precision", "product"), [("float32", FLOAT), ("bfloat16", HALF)])
def test_the_parts_are_what_autograd_keeps_on_a_processor(precision: Precision, product: int) -> None:
    stage = Stage(name="stage", length=SLOTS // 2, steps=10, batch_tokens=SLOTS, micro_batch_tokens=SLOTS)
    parts = memory(MODEL, ENTRIES, stage, product, on_cpu=True)
    names = ("bf16 copies of the matrices", "activations of the layers", "activations of the head")
    expected = sum(parts.get(name, 0) for name in (*names, "gradient of the logits' matrix"))
    assert kept(precision, int(0.3 * SLOTS)) == pytest.approx(expected, rel=0.05)
