"""The least time of an optimizer step on a GPU, part by part: why training cannot reach the peak.

A stage and a kind of GPU → seconds by part, if every product ran at the peak and every byte moved at the memory's full
bandwidth, one after the other (Williams and others, "Roofline", CACM 2009). The MFU that follows is one that no
implementation with these kernels passes; fusing elementwise work into the products moves the bound itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from anaume.model.flops import Device, Flops
from anaume.model.memory import FLOAT, HALF, Parameters

# Bytes that each GPU sends or receives per second across machines: a 400 Gb/s InfiniBand port each.
LINK = 50e9
# An activation is written in the forward pass and read in the backward pass, and so is its gradient.
TRIPS = 4
# AdamW reads and writes a weight and two moments, and reads a gradient, all float32.
OPTIMIZER_ACCESSES = 7


@dataclass(frozen=True)
class StepBound:
    """The least seconds of an optimizer step on each GPU.

    `parts`          seconds by part, which follow each other
    `communication`  seconds of summing the gradients, which run beside the backward pass
    `mfu`            operations that the text needs, as a share of the peak over the sum of `parts`
    """

    parts: dict[str, float]
    communication: float
    mfu: float


def step_bound(
    operations: Flops,
    recomputed: float,
    slots: float,
    memory: Mapping[str, int],
    micro_batches: int,
    weights: Parameters,
    device: Device,
    gpus: int,
) -> StepBound:
    """Bound a step of `micro_batches` micro-batches of `slots` slots on each GPU.

    `operations` are per slot, as is `recomputed`, what gradient checkpointing adds. `memory` holds the bytes by part of
    a micro-batch (`model.memory.memory`).
    """
    total = micro_batches * slots
    activations = sum(size for name, size in memory.items() if name.startswith("activations"))
    logits = sum(size for name, size in memory.items() if name.startswith("logits"))
    products = operations.matrices, operations.head, operations.global_attention + operations.local_attention
    layers, head, attention = (total * part / device.peak for part in products)
    parts = {
        "products of the layers": layers,
        "products of the head": head,
        "products of attention": attention,
        "activations to and from memory": micro_batches * TRIPS * activations / device.bandwidth,
        "logits to and from memory": micro_batches * 2 * logits / device.bandwidth,
        "weights in bf16, once a micro-batch": micro_batches * 3 * HALF * weights.matrices / device.bandwidth,
        "optimizer": OPTIMIZER_ACCESSES * FLOAT * weights.total / device.bandwidth,
    }
    if recomputed:
        parts["recomputed forward pass"] = total * recomputed / device.peak
    communication = 2 * (gpus - 1) / gpus * FLOAT * weights.total / LINK
    return StepBound(parts, communication, (layers + head + attention) / sum(parts.values()))
