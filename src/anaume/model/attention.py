"""Attention over packed rows: documents lie end to end in one row and never see each other.

Three functions share one signature and are registered with transformers, so that Hugging Face's own ModernBERT runs on
packed rows: `PACKED` (fast on the device at hand) and `REFERENCE` (one masked product, to hold the fast paths against).
They receive a `Layout` where the model passes its attention mask.

Shapes: T tokens of the row, H heads, D head size, N blocks, B queries a block, K keys a block.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel

PACKED = "anaume_packed"
REFERENCE = "anaume_reference"

# Queries a block in local layers. With windows of ±64 a block of 128 queries looks at 256 keys.
BLOCK = 128
# Scores that global layers hold at a time in bfloat16 on a CPU: 16 MB, which is about what the cache takes.
SCORES = 1 << 23


@dataclass(frozen=True)
class Layout:
    """Where the documents of a packed row begin and end.

    `cu_seqlens`  (documents + 1,) int32 on the row's device: 0, end of the first, …, T
    `lengths`     the documents' lengths as plain integers, for CPUs and float32
    `max_length`  an upper bound on a document's length, the same for every batch of a stage, so that nothing recompiles
    """

    cu_seqlens: Tensor
    lengths: tuple[int, ...]
    max_length: int

    @cached_property
    def document_of(self) -> Tensor:
        """(T,) number of the document that holds each token."""
        lengths = torch.tensor(self.lengths, device=self.cu_seqlens.device)
        numbers = torch.arange(len(self.lengths), device=lengths.device)
        return torch.repeat_interleave(numbers, lengths, output_size=sum(self.lengths))  # else a GPU is asked for it

    @cached_property
    def band_masks(self) -> dict[tuple[int, torch.dtype], Tensor]:
        """Masks of the local layers by (reach, dtype), made at first use and shared by all layers."""
        return {}


def layout_of(lengths: list[int], max_length: int, device: torch.device | str = "cpu") -> Layout:
    """Lay out documents of these lengths."""
    ends = F.pad(torch.tensor(lengths).cumsum(0), (1, 0)).to(torch.int32)
    return Layout(ends.to(device, non_blocking=True), tuple(lengths), max_length)


@contextmanager
def packed_rows(model: PreTrainedModel) -> Iterator[None]:
    """Let a ModernBERT take packed rows within this block; its own attention is set again at the end."""
    before = model.config._attn_implementation
    model.config._attn_implementation = PACKED
    try:
        yield
    finally:
        model.config._attn_implementation = before


def reference_attention(
    _module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Layout, **kwargs: Any
) -> tuple[Tensor, None]:
    """Plain masked attention: (1, H, T, D) each in, (1, T, H, D) out. Slow and short: the truth to test against."""
    documents = attention_mask.document_of
    allowed = documents[:, None] == documents[None, :]
    if (reach := _reach(kwargs)) is not None:
        positions = torch.arange(len(documents), device=documents.device)
        allowed &= (positions[:, None] - positions[None, :]).abs() <= reach
    scores = (query @ key.mT) * kwargs["scaling"]
    return (scores.masked_fill(~allowed, -math.inf).softmax(-1) @ value).transpose(1, 2), None


def packed_attention(
    _module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Layout, **kwargs: Any
) -> tuple[Tensor, None]:
    """The same by the fast path of the device: (1, H, T, D) each in, (1, T, H, D) out."""
    reach = _reach(kwargs)
    if query.is_cuda and query.dtype != torch.float32:
        return _varlen(query, key, value, attention_mask, reach, kwargs["scaling"]), None
    if reach is None or max(attention_mask.lengths) <= reach + 1:
        return _per_document(query, key, value, attention_mask, kwargs["scaling"]), None
    return _banded(query, key, value, attention_mask, reach, kwargs["scaling"]), None


def _reach(kwargs: dict[str, Any]) -> int | None:
    """|i − j| ≤ reach in local layers. Hugging Face passes reach + 1 (`sliding_window`), or None in global layers."""
    window = kwargs.get("sliding_window")
    return None if window is None else int(window) - 1


def _varlen(query: Tensor, key: Tensor, value: Tensor, layout: Layout, reach: int | None, scaling: float) -> Tensor:
    """CUDA, half precision: torch's own variable-length attention. Not yet run on a GPU."""
    from torch.nn.attention.varlen import varlen_attn

    window = (-1, -1) if reach is None else (reach, reach)
    q, k, v = (x[0].transpose(0, 1) for x in (query, key, value))
    out = varlen_attn(
        q,
        k,
        v,
        layout.cu_seqlens,
        layout.cu_seqlens,
        layout.max_length,
        layout.max_length,
        scale=scaling,
        window_size=window,
    )
    assert isinstance(out, Tensor)
    return out.unsqueeze(0)


def _per_document(query: Tensor, key: Tensor, value: Tensor, layout: Layout, scaling: float) -> Tensor:
    """CPU or float32, global layers: full products, neighbours of one length in one call.

    `split`, not slices: its backward pass is one concatenation.
    """
    runs = [(length, len(list(group))) for length, group in groupby(layout.lengths)]
    sizes = [length * count for length, count in runs]
    out = []
    for (length, count), *parts in zip(runs, *(x[0].split(sizes, dim=1) for x in (query, key, value)), strict=True):
        q, k, v = (x.unflatten(1, (count, length)).transpose(0, 1) for x in parts)  # (count, H, length, D)
        if q.dtype == torch.bfloat16:
            found = _Documents.apply(*(x.flatten(0, 1) for x in (q * scaling, k, v)))  # type: ignore[no-untyped-call]
        else:
            found = F.scaled_dot_product_attention(q, k, v, scale=scaling)
        out.append(found.view(q.shape).transpose(1, 2).flatten(0, 1))
    return torch.cat(out).unsqueeze(0)


class _Documents(torch.autograd.Function):
    """Attention of N whole documents, (N, L, D) each; the query comes scaled. Some queries at a time see all keys.

    For bfloat16 on a CPU, where torch's own runs at a third of what a product reaches. The backward pass makes the
    shares again, so that what is kept grows with L and not with its square.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        ctx.save_for_backward(query, key, value)
        out = torch.empty_like(query)
        for part in _parts(query):
            out[:, part] = (query[:, part] @ key.mT).softmax(-1) @ value
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = ctx.saved_tensors
        to_query = torch.empty_like(query)
        to_key, to_value = (torch.zeros_like(x, dtype=torch.float32) for x in (key, value))
        for part in _parts(query):
            out, shares = gradients[0][:, part], (query[:, part] @ key.mT).softmax(-1)
            scores = _through_softmax(out @ value.mT, shares)
            to_query[:, part] = scores @ key
            to_key += scores.mT @ query[:, part]
            to_value += shares.mT @ out
        return to_query, to_key.to(key.dtype), to_value.to(value.dtype)


def _parts(query: Tensor) -> Iterator[slice]:
    """Queries so many at a time that their scores against all L keys number about SCORES."""
    documents, length, _ = query.shape
    size = max(BLOCK, SCORES // (documents * length))
    return (slice(start, start + size) for start in range(0, length, size))


def _through_softmax(gradient: Tensor, shares: Tensor) -> Tensor:
    """The gradient of the scores from that of their softmax."""
    return torch._softmax_backward_data(gradient, shares, -1, shares.dtype)


def _banded(query: Tensor, key: Tensor, value: Tensor, layout: Layout, reach: int, scaling: float) -> Tensor:
    """CPU or float32, local layers: blocks of B queries against the K = B + 2 × halo keys around them, over the row.

    The halo is the reach rounded up so that it divides the block; the mask takes care of what is too far or foreign.
    """
    halo = _halo(reach)
    tokens = query.shape[2]
    blocks = math.ceil(tokens / BLOCK)
    tail = blocks * BLOCK - tokens
    q = F.pad(query, (0, 0, 0, tail)).view(query.shape[1], blocks, BLOCK, -1)
    k, v = (_windows(F.pad(x, (0, 0, halo, halo + tail))[0], blocks, halo) for x in (key, value))
    mask = _band_mask(layout, reach, halo, blocks, query.dtype)
    if query.dtype == torch.bfloat16:
        out: Tensor = _Blocks.apply(q * scaling, k, v, mask)  # type: ignore[no-untyped-call]
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling)
    return out.reshape(1, query.shape[1], blocks * BLOCK, -1)[:, :, :tokens].transpose(1, 2)


class _Blocks(torch.autograd.Function):
    """Attention of many small blocks, (H, N, B, D), (H, N, K, D) twice → (H, N, B, D). A mask (1, N, B, K) is added.

    For bfloat16 on a CPU: batched products over all blocks at once, where torch's attention takes one small block after
    the other and three times as long. The query comes scaled.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        scores = query @ key.mT
        shares = scores.add_(mask).softmax(-1)
        ctx.save_for_backward(query, key, value, shares)
        return shares @ value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, shares = ctx.saved_tensors
        (out,) = gradients
        scores = _through_softmax(out @ value.mT, shares)
        return scores @ key, scores.mT @ query, shares.mT @ out, None


def _halo(reach: int) -> int:
    """The smallest halo ≥ reach that is a part or a multiple of the block."""
    halo = 1 << (reach - 1).bit_length()
    return halo if halo <= BLOCK else math.ceil(reach / BLOCK) * BLOCK


def _windows(x: Tensor, blocks: int, halo: int) -> Tensor:
    """(H, N × B + 2 × halo, D) → (H, N, K, D): for each block, its keys with the halo on both sides."""
    part = min(halo, BLOCK)
    a_block, a_window = BLOCK // part, (BLOCK + 2 * halo) // part
    parts = x.view(x.shape[0], -1, part, x.shape[-1])
    columns = [parts[:, i : i + (blocks - 1) * a_block + 1 : a_block] for i in range(a_window)]
    return torch.cat(columns, dim=2)


def _band_mask(layout: Layout, reach: int, halo: int, blocks: int, dtype: torch.dtype) -> Tensor:
    """(1, N, B, K), 0 where the key may be seen and −inf elsewhere."""
    cached = layout.band_masks.get((reach, dtype))
    if cached is not None:
        return cached
    tail = blocks * BLOCK - len(layout.document_of)
    # Rows beyond the end form one document of their own, so that no softmax runs over nothing.
    documents = F.pad(layout.document_of, (0, tail), value=-1)
    keys = F.pad(documents, (halo, halo), value=-2).unfold(0, BLOCK + 2 * halo, BLOCK)
    columns, rows = (torch.arange(size, device=keys.device) for size in (BLOCK + 2 * halo, BLOCK))
    distance = columns[None, :] - halo - rows[:, None]
    seen = (documents.view(blocks, BLOCK, 1) == keys[:, None, :]) & (distance.abs() <= reach)
    mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -math.inf).unsqueeze(0)
    layout.band_masks[(reach, dtype)] = mask
    return mask


AttentionInterface.register(PACKED, packed_attention)
AttentionInterface.register(REFERENCE, reference_attention)
