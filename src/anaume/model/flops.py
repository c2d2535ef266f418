"""The operations of a batch and the peak of a device, which give the model FLOPs utilisation (MFU).

A multiply-add counts as two operations, and a backward pass as two forward passes (PaLM, arXiv 2204.02311, appendix B).
The attention of a packed row is the sum over its documents and not the square of the row.
"""

import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anaume.recipe import Model

if TYPE_CHECKING:  # `anaume plan` needs the arithmetic only
    import torch

# A large product is not timed if it would take more seconds than this, as on a CPU without bfloat16 instructions.
SLOW_PRODUCT = 10.0


@dataclass(frozen=True)
class Device:
    """A kind of GPU, or a processor.

    `name`       part of the name that torch reports
    `peak`       dense bf16 peak in FLOP/s
    `memory`     GiB
    `bandwidth`  bytes that the memory reads or writes per second; 0 if unknown
    `product`    bytes of a number in matrix products: 2 in bf16, 4 in float32
    """

    name: str
    peak: float
    memory: float
    bandwidth: float = 0.0
    product: int = 2


# Keys are the names that `anaume plan` accepts; the first entry that matches a GPU's name counts. Peaks are dense, with
# float32 accumulation. NVIDIA's data sheets state H100, H200, B200, A100, L40S and L4 with sparsity, which doubles the
# number; the peaks of the A6000 and the GeForce cards are in the white papers of GA102, AD102 and GB202. Bandwidths are
# the data sheets' too; the A100's are those of the SXM cards with 80 and 40 GB.
DEVICES = {
    "b200": Device("B200", 2250e12, 180, 8e12),
    "h200": Device("H200", 989.4e12, 141, 4.8e12),
    "h100-pcie": Device("H100 PCIe", 756e12, 80, 2e12),
    "h100": Device("H100", 989.4e12, 80, 3.35e12),
    "a100": Device("A100", 312e12, 80, 2.039e12),
    "a100-40gb": Device("A100", 312e12, 40, 1.555e12),
    "l40s": Device("L40S", 362e12, 48, 0.864e12),
    "l4": Device("L4", 121e12, 24, 0.3e12),
    "a6000": Device("RTX A6000", 154.8e12, 48, 0.768e12),
    "rtx5090": Device("RTX 5090", 209.5e12, 32, 1.792e12),
    "rtx4090": Device("RTX 4090", 165.2e12, 24, 1.008e12),
    "rtx3090": Device("RTX 3090", 71e12, 24, 0.936e12),
}


@dataclass(frozen=True)
class Flops:
    """Operations of a forward and a backward pass by part; `head` is everything after the last layer."""

    matrices: float
    global_attention: float
    local_attention: float
    head: float

    @property
    def total(self) -> float:
        """The sum of all parts."""
        return self.matrices + self.global_attention + self.local_attention + self.head


def flops(
    model: Model,
    vocab_size: int,
    lengths: NDArray[np.int64],
    scored: float,
    counts: NDArray[np.float64] | None = None,
    causal: bool = False,
) -> Flops:
    """Operations of a forward and a backward pass over documents with these lengths, (n,), and `scored` rows of logits.

    `counts`, (n,), is the number of documents of each length; None means one of each. With `causal` a token attends
    only to itself and to earlier tokens.
    """
    weights = np.ones(len(lengths)) if counts is None else counts
    per_layer = 4 * model.hidden**2 + 3 * model.hidden * model.intermediate
    global_layers = len(range(0, model.layers, model.global_every))
    whole, band = lengths.astype(np.float64) ** 2, _band_pairs(lengths, model.window // 2)
    if causal:  # of the pairs (i, j) those with j ≤ i
        whole, band = (whole + lengths) / 2, (band + lengths) / 2
    return Flops(
        matrices=6 * float(weights @ lengths) * model.layers * per_layer,
        global_attention=12 * model.hidden * global_layers * float(weights @ whole),
        local_attention=12 * model.hidden * (model.layers - global_layers) * float(weights @ band),
        head=6 * scored * (model.hidden**2 + model.hidden * vocab_size),
    )


def training_flops(
    model: Model, vocab_size: int, lengths: NDArray[np.int64], scored: int, causal: bool = False
) -> float:
    """Total operations of a forward and a backward pass over documents with these lengths, (n,); see `flops`."""
    return flops(model, vocab_size, lengths, scored, causal=causal).total


def _band_pairs(lengths: NDArray[np.int64], reach: int) -> NDArray[np.float64]:
    """Number of pairs with |i − j| ≤ reach in each document: (n,) → (n,)."""
    near = np.minimum(reach, lengths - 1)
    pairs: NDArray[np.float64] = (lengths * (2 * near + 1) - near * (near + 1)).astype(np.float64)
    return pairs


@cache  # a measurement takes seconds
def peak_flops(device: "torch.device", dtype: "torch.dtype") -> float:
    """The first result of `current_peak_flops` in this process."""
    return current_peak_flops(device, dtype)


def current_peak_flops(device: "torch.device", dtype: "torch.dtype") -> float:
    """The peak of the device in FLOP/s: the data sheet's number for bfloat16 on a known GPU, and otherwise measured.

    The measurement is the fastest of five products of 2,048 × 2,048 matrices in this `dtype`, or of 256 × 256 matrices
    where a large product would take longer than SLOW_PRODUCT.
    """
    import torch

    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = [kind.peak for kind in DEVICES.values() if kind.name in name]
        if known:
            return known[0]
    peak = 0.0
    for size in (256, 2048):
        matrix = torch.ones(size, size, dtype=dtype, device=device)
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            (matrix @ matrix)[0, 0].item()
            seconds.append(time.perf_counter() - start)
        peak = 2 * size**3 / min(seconds)
        if 2 * 2048**3 / peak > SLOW_PRODUCT:
            break
    return peak
