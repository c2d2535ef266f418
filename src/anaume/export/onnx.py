"""A network → the folder `onnx` of an export, for ONNX Runtime and sentence-transformers' backend "onnx".

model.onnx       last hidden states; sentence-transformers adds the pooling
fill_mask.onnx   logits of the masked-LM head
model_int8.onnx  model.onnx with matrices of 8 bits, multiplied in 8 bits

optimum-onnx, the exporter of sentence-transformers, does not run with transformers 5, so torch's own exporter writes
the graphs. The rule: a graph is written only if it gives the network's numbers, for texts longer than those it was
traced with and for a text that is mostly padding.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import ModernBertForMaskedLM

from anaume.errors import UserError
from anaume.export.checkpoint import Addition
from anaume.export.graph import GRAPH, LogitsGraph, StatesGraph

FOLDER = "onnx"
STATES, LOGITS, INT8 = "model.onnx", "fill_mask.onnx", "model_int8.onnx"
PACKAGES = ("onnx", "onnxruntime", "onnxscript")
# The opset that torch's exporter supports best, which ONNX Runtime has read since 1.14.
OPSET = 18
# Protocol buffers end at 2 GB. Larger weights go into a second file, MODEL.onnx.data.
MOST_BYTES = 2_000_000_000
# Largest difference between a graph and the network, relative to the largest output. Rounding gives about 1e-6.
TOLERANCE = 1e-4


def onnx_addition(*, int8: bool) -> Addition:
    """What `export` needs to add the graphs of `write_onnx`.

    Raises:
        UserError: a package of the extra `onnx` is missing.
    """
    for name in PACKAGES:
        if find_spec(name) is None:
            raise UserError(f"--onnx: the package {name} is not installed; expected pip install 'anaume[onnx]'")

    def add(network: ModernBertForMaskedLM, folder: Path) -> dict[str, Any]:
        write_onnx(network, folder, int8=int8)
        return {}

    return add


def write_onnx(network: ModernBertForMaskedLM, folder: Path, *, int8: bool) -> None:
    """Write the graphs of a network in float32 to `folder`/onnx.

    Raises:
        UserError: a graph does not give the network's numbers.
    """
    target = folder / FOLDER
    target.mkdir()
    network.eval()
    before = network.config._attn_implementation
    network.config._attn_implementation = GRAPH
    try:
        for name, kind, output in ((STATES, StatesGraph, "last_hidden_state"), (LOGITS, LogitsGraph, "logits")):
            graph = kind(network).eval()
            _write(graph, target / name, output)
            check_graph(graph, target / name)
    finally:
        network.config._attn_implementation = before
    if int8:
        _quantize(target / STATES, target / INT8)


def _write(graph: StatesGraph, file: Path, output: str) -> None:
    ids = _example(graph, 2, 3 * graph.network.config.sliding_window)
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("sequence")}
    size = sum(parameter.nbytes for parameter in graph.parameters())
    with _quiet():
        torch.onnx.export(
            graph,
            (ids, torch.ones_like(ids)),
            file,
            input_names=["input_ids", "attention_mask"],
            output_names=[output],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes={"input_ids": axes, "attention_mask": axes},
            external_data=size > MOST_BYTES,
            verbose=False,
        )


def check_graph(graph: StatesGraph, file: Path) -> None:
    """Compare a graph with the network's stock attention, on two texts of which one is mostly padding.

    Raises:
        UserError: it gives other numbers.
    """
    from onnxruntime import InferenceSession

    network = graph.network
    window = network.config.sliding_window
    longest = network.config.max_position_embeddings
    ids = _example(graph, 2, min(7 * window + 1, longest))
    mask = torch.ones_like(ids)
    mask[0, window // 2 + 1 :] = 0
    session = InferenceSession(str(file), providers=["CPUExecutionProvider"])
    actual = torch.from_numpy(session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})[0])
    network.config._attn_implementation = "sdpa"
    try:
        with torch.inference_mode():
            expected: Tensor = network.model(input_ids=ids, attention_mask=mask).last_hidden_state
            if isinstance(graph, LogitsGraph):
                expected = network.decoder(network.head(expected))
    finally:
        network.config._attn_implementation = GRAPH
    real = mask.bool()
    difference = (actual[real] - expected[real]).abs().max() / expected[real].abs().max()
    if not (actual.isfinite().all() and difference <= TOLERANCE):
        raise UserError(
            f"{file.name}: differs from the network by {difference:.1e} of its largest output; expected at most"
            f" {TOLERANCE:g} (a version of torch or onnxscript that was not tested?)"
        )


def _example(graph: StatesGraph, rows: int, length: int) -> Tensor:
    """Ids of (rows, length) that differ from position to position."""
    return torch.arange(rows * length).view(rows, length) % graph.network.config.vocab_size


def _quantize(source: Path, target: Path) -> None:
    """Quantize the weights once, and the inputs of each product when it runs. No texts are needed for it.

    Weights keep 7 of 8 bits (`reduce_range`): without them the sums of processors that lack VNNI overflow.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with _quiet():
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' notes on their own workings off the terminal."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
