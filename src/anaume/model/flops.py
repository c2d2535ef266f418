"""Arithmetic of a packed batch, and what the device could do: together the model FLOPs utilisation (MFU).

A multiply-add counts as two operations, a backward pass as two forward passes (PaLM, arXiv 2204.02311, appendix B). The
attention of a packed row is the sum over its documents, not the square of the row.
"""

import time

import numpy as np
import torch
from numpy.typing import NDArray

from anaume.recipe import Model

# Dense bf16 peaks in FLOP/s without sparsity, from NVIDIA's data sheets of the H100 SXM, H200 SXM and A100 SXM.
PEAKS = {"H100": 989.4e12, "H200": 989.4e12, "A100": 312e12}


def training_flops(model: Model, vocab_size: int, lengths: NDArray[np.int64], scored: int) -> float:
    """Operations of a forward and a backward pass over documents of these lengths with `scored` rows of logits."""
    tokens = float(lengths.sum())
    a_layer = 4 * model.hidden**2 + 3 * model.hidden * model.intermediate
    head = scored * (model.hidden**2 + model.hidden * vocab_size)
    global_layers = len(range(0, model.layers, model.global_every))
    pairs = global_layers * float((lengths.astype(np.float64) ** 2).sum())
    pairs += (model.layers - global_layers) * float(_band_pairs(lengths, model.window // 2).sum())
    return 3 * 2 * (tokens * model.layers * a_layer + head + 2 * model.hidden * pairs)


def _band_pairs(lengths: NDArray[np.int64], reach: int) -> NDArray[np.int64]:
    """Pairs |i − j| ≤ reach within each document."""
    near = np.minimum(reach, lengths - 1)
    pairs: NDArray[np.int64] = lengths * (2 * near + 1) - near * (near + 1)
    return pairs


def peak_flops(device: torch.device) -> float:
    """What the device can do at most, in FLOP/s: the data sheet's figure on a known GPU, measured otherwise.

    On a CPU: the best of five fp32 products of 2,048 × 2,048.
    """
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        known = [peak for part, peak in PEAKS.items() if part in name]
        if known:
            return known[0]
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    matrix = torch.ones(2048, 2048, dtype=dtype, device=device)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        (matrix @ matrix)[0, 0].item()
        seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(seconds)
