"""Arithmetic of a batch, and what the device could do: together the model FLOPs utilisation (MFU).

A multiply-add counts as two operations, a backward pass as two forward passes (PaLM, arXiv 2204.02311, appendix B). The
attention of a packed row is the sum over its documents, not the square of the row.
"""

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anaume.recipe import Model

if TYPE_CHECKING:  # `anaume plan` needs the arithmetic only
    import torch


@dataclass(frozen=True)
class Device:
    """A kind of GPU: a part of the name that torch gives it, its dense bf16 peak (FLOP/s), its memory (GiB)."""

    name: str
    peak: float
    memory: float


# By the names that `anaume plan` accepts; of two that fit a GPU's name the first counts. Peaks are dense, with float32
# accumulation: NVIDIA's data sheets give those of H100, H200, B200, A100, L40S and L4 with sparsity too, which is twice
# as much; those of the A6000 and the GeForce cards stand in the white papers of GA102, AD102 and GB202.
DEVICES = {
    "b200": Device("B200", 2250e12, 180),
    "h200": Device("H200", 989.4e12, 141),
    "h100-pcie": Device("H100 PCIe", 756e12, 80),
    "h100": Device("H100", 989.4e12, 80),
    "a100": Device("A100", 312e12, 80),
    "a100-40gb": Device("A100", 312e12, 40),
    "l40s": Device("L40S", 362e12, 48),
    "l4": Device("L4", 121e12, 24),
    "a6000": Device("RTX A6000", 154.8e12, 48),
    "rtx5090": Device("RTX 5090", 209.5e12, 32),
    "rtx4090": Device("RTX 4090", 165.2e12, 24),
    "rtx3090": Device("RTX 3090", 71e12, 24),
}


@dataclass(frozen=True)
class Flops:
    """Operations of a forward and a backward pass, by part; the head is what follows the last layer."""

    matrices: float
    global_attention: float
    local_attention: float
    head: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.matrices + self.global_attention + self.local_attention + self.head


def flops(
    model: Model,
    vocab_size: int,
    lengths: NDArray[np.int64],
    scored: float,
    counts: NDArray[np.float64] | None = None,
) -> Flops:
    """Operations for documents of these lengths with `scored` rows of logits; (n,) `counts` of each, otherwise one."""
    weights = np.ones(len(lengths)) if counts is None else counts
    a_layer = 4 * model.hidden**2 + 3 * model.hidden * model.intermediate
    global_layers = len(range(0, model.layers, model.global_every))
    whole, band = lengths.astype(np.float64) ** 2, _band_pairs(lengths, model.window // 2)
    return Flops(
        matrices=6 * float(weights @ lengths) * model.layers * a_layer,
        global_attention=12 * model.hidden * global_layers * float(weights @ whole),
        local_attention=12 * model.hidden * (model.layers - global_layers) * float(weights @ band),
        head=6 * scored * (model.hidden**2 + model.hidden * vocab_size),
    )


def training_flops(model: Model, vocab_size: int, lengths: NDArray[np.int64], scored: int) -> float:
    """Operations of a forward and a backward pass over documents of these lengths with `scored` rows of logits."""
    return flops(model, vocab_size, lengths, scored).total


def _band_pairs(lengths: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """Pairs |i − j| ≤ reach within each document."""
    near = np.minimum(reach, lengths - 1)
    pairs: NDArray[np.int64] = lengths * (2 * near + 1) - near * (near + 1)
    return pairs


def peak_flops(device: "torch.device", dtype: "torch.dtype") -> float:
    """What the device can do at most, in FLOP/s: the data sheet's figure on a known GPU, measured otherwise.

    On a CPU: the best of five products of 2,048 × 2,048 in this `dtype`; a known GPU's figure is for bfloat16.
    """
    import torch

    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = [kind.peak for kind in DEVICES.values() if kind.name in name]
        if known:
            return known[0]
    matrix = torch.ones(2048, 2048, dtype=dtype, device=device)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(seconds)


def tell_if_slower(device: "torch.device", dtype: "torch.dtype", peak: float) -> None:
    """Say on standard error if a CPU's bfloat16 products, measured at `peak` FLOP/s, are slower than float32's."""
    import torch

    if device.type != "cpu" or dtype != torch.bfloat16:
        return
    plain = peak_flops(device, torch.float32)
    if peak < plain:
        print(
            f'anaume: precision = "bfloat16": this CPU multiplies at {peak / 1e9:.0f} GFLOP/s in bfloat16 and at'
            f" {plain / 1e9:.0f} in float32; leave it out",
            file=sys.stderr,
        )
