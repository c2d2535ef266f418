"""Attention over packed rows: documents lie end to end in one row and never attend to each other.

Two functions are registered with transformers, so that Hugging Face's ModernBERT runs on packed rows: `PACKED` is the
fastest path of the device, and `REFERENCE` is one masked product against which tests compare the fast paths. Both
receive a `Layout` in place of the attention mask.

Shapes: T tokens of the row, H heads, D head size, L tokens of a document, N blocks, B queries per block, K keys per
block. Every attention function takes query, key and value as (1, H, T, D) and returns (1, T, H, D).
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

from anaume.model.memory import LOCAL_BLOCK

PACKED = "anaume_packed"
REFERENCE = "anaume_reference"

# Queries per block in local layers. With windows of ±64 a block of 128 queries attends to 256 keys.
BLOCK = LOCAL_BLOCK
# Attention scores that a global layer computes at a time in bfloat16 on a CPU: 16 MB, about the size of the cache.
SCORES = 1 << 23


@dataclass(frozen=True)
class Layout:
    """The borders of the documents in a packed row.

    `cu_seqlens`  (documents + 1,) int32 on the row's device: 0, end of the first document, …, T
    `lengths`     lengths of the documents as Python integers, for the paths on CPUs and in float32
    `max_length`  upper bound on a document's length; constant over a stage, because a new value triggers a recompile
    `causal`      whether a token attends only to itself and to earlier tokens, in global and in local layers
    """

    cu_seqlens: Tensor
    lengths: tuple[int, ...]
    max_length: int
    causal: bool = False

    @cached_property
    def document_of(self) -> Tensor:
        """Number of the document that holds each token, (T,)."""
        lengths = torch.tensor(self.lengths, device=self.cu_seqlens.device)
        numbers = torch.arange(len(self.lengths), device=lengths.device)
        return torch.repeat_interleave(numbers, lengths, output_size=sum(self.lengths))  # avoids a GPU sync

    @cached_property
    def band_masks(self) -> dict[tuple[int, torch.dtype], Tensor]:
        """Cache of the local layers' masks by (reach, dtype), shared by all layers."""
        return {}


def layout_of(lengths: list[int], max_length: int, device: torch.device | str = "cpu", causal: bool = False) -> Layout:
    """The layout of documents with these lengths, in a row on `device`."""
    ends = F.pad(torch.tensor(lengths).cumsum(0), (1, 0)).to(torch.int32)
    return Layout(ends.to(device, non_blocking=True), tuple(lengths), max_length, causal)


@contextmanager
def packed_rows(model: PreTrainedModel) -> Iterator[None]:
    """Let a ModernBERT take packed rows within this block; its own attention is restored at the end."""
    before = model.config._attn_implementation
    model.config._attn_implementation = PACKED
    try:
        yield
    finally:
        model.config._attn_implementation = before


def reference_attention(
    _module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Layout, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention as one masked product: slow, but short enough to check by eye. Tests compare the fast paths with it."""
    documents = attention_mask.document_of
    allowed = documents[:, None] == documents[None, :]
    positions = torch.arange(len(documents), device=documents.device)
    distance = positions[:, None] - positions[None, :]
    if (reach := _reach(kwargs)) is not None:
        allowed &= distance.abs() <= reach
    if attention_mask.causal:
        allowed &= distance >= 0
    scores = (query @ key.mT) * kwargs["scaling"]
    return (scores.masked_fill(~allowed, -math.inf).softmax(-1) @ value).transpose(1, 2), None


def packed_attention(
    _module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Layout, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention over packed rows on the fastest path of the device. Equivalent to `reference_attention`."""
    reach = _reach(kwargs)
    if query.is_cuda and query.dtype != torch.float32:
        return varlen_attention(query, key, value, attention_mask, reach, kwargs["scaling"]), None
    if reach is None or max(attention_mask.lengths) <= reach + 1:
        return _per_document(query, key, value, attention_mask, kwargs["scaling"]), None
    return _banded(query, key, value, attention_mask, reach, kwargs["scaling"]), None


def _reach(kwargs: dict[str, Any]) -> int | None:
    """The reach of a local layer, which attends where |i − j| ≤ reach (causal: 0 ≤ i − j ≤ reach); None if global.

    Hugging Face passes reach + 1 as `sliding_window`, and None in global layers.
    """
    window = kwargs.get("sliding_window")
    return None if window is None else int(window) - 1


def varlen_attention(
    query: Tensor, key: Tensor, value: Tensor, layout: Layout, reach: int | None, scaling: float
) -> Tensor:
    """Attention on CUDA in half precision by torch's variable-length kernel. Not yet run on a GPU."""
    from torch.nn.attention.varlen import varlen_attn

    back = -1 if reach is None else reach
    window = (back, 0 if layout.causal else back)
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
    """Attention of global layers on a CPU or in float32: full products, one call per run of equal lengths.

    The row is divided by `split` and not by slices, because the backward pass of `split` is one concatenation.
    """
    runs = [(length, len(list(group))) for length, group in groupby(layout.lengths)]
    sizes = [length * count for length, count in runs]
    out = []
    for (length, count), *parts in zip(runs, *(x[0].split(sizes, dim=1) for x in (query, key, value)), strict=True):
        q, k, v = (x.unflatten(1, (count, length)).transpose(0, 1) for x in parts)  # (count, H, length, D)
        if q.dtype == torch.bfloat16:
            q, k, v = (x.flatten(0, 1) for x in (q * scaling, k, v))
            attended = _DocumentAttention.apply(q, k, v, layout.causal)  # type: ignore[no-untyped-call]
        else:
            attended = F.scaled_dot_product_attention(q, k, v, scale=scaling, is_causal=layout.causal)
        out.append(attended.view(count, -1, length, q.shape[-1]).transpose(1, 2).flatten(0, 1))
    return torch.cat(out).unsqueeze(0)


class _DocumentAttention(torch.autograd.Function):
    """Attention within whole documents in bfloat16 on a CPU: some queries at a time against the keys that they see.

    Query (already scaled), key and value are (documents × H, L, D) each. torch's own function reaches a third of the
    speed of a plain product here. The backward pass recomputes the softmax, so the memory kept grows with L and not
    with its square.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, causal: bool) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.causal = causal
        out = torch.empty_like(query)
        for part, seen in _parts(query, causal):
            out[:, part] = _shares(query[:, part], key[:, seen], causal) @ value[:, seen]
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value = ctx.saved_tensors
        to_query = torch.empty_like(query)
        to_key, to_value = (torch.zeros_like(x, dtype=torch.float32) for x in (key, value))
        for part, seen in _parts(query, ctx.causal):
            out, shares = gradients[0][:, part], _shares(query[:, part], key[:, seen], ctx.causal)
            scores = _through_softmax(out @ value[:, seen].mT, shares)
            to_query[:, part] = scores @ key[:, seen]
            to_key[:, seen] += scores.mT @ query[:, part]
            to_value[:, seen] += shares.mT @ out
        return to_query, to_key.to(key.dtype), to_value.to(value.dtype), None


def _parts(query: Tensor, causal: bool) -> Iterator[tuple[slice, slice]]:
    """Slices of the queries, (documents × H, L, D), each with the slice of the keys that the queries attend to.

    A part has about SCORES scores against all L keys. With `causal` its keys end with its last query.
    """
    documents, length, _ = query.shape
    size = max(BLOCK, SCORES // (documents * length))
    for start in range(0, length, size):
        end = min(start + size, length)
        yield slice(start, end), slice(0, end if causal else length)


def _shares(query: Tensor, key: Tensor, causal: bool) -> Tensor:
    """The softmax of the scores of a part. With `causal` the last query is at the position of the last key."""
    scores = query @ key.mT
    if causal:
        queries, keys = scores.shape[-2:]
        later = torch.ones(queries, keys, dtype=torch.bool, device=scores.device).triu_(keys - queries + 1)
        scores.masked_fill_(later, -math.inf)
    return scores.softmax(-1)


def _through_softmax(gradient: Tensor, shares: Tensor) -> Tensor:
    """The gradient of the scores, from the gradient of their softmax `shares`."""
    return torch._softmax_backward_data(gradient, shares, -1, shares.dtype)


def _banded(query: Tensor, key: Tensor, value: Tensor, layout: Layout, reach: int, scaling: float) -> Tensor:
    """Attention of local layers on a CPU or in float32, in blocks of B queries.

    The keys of a block are its own and a halo on each side: K = B + 2 × halo. Causal attention needs no halo behind the
    block. The mask excludes keys out of reach and keys of other documents.
    """
    before = _halo(reach)
    behind = 0 if layout.causal else before
    tokens = query.shape[2]
    blocks = math.ceil(tokens / BLOCK)
    tail = blocks * BLOCK - tokens
    q = F.pad(query, (0, 0, 0, tail)).view(query.shape[1], blocks, BLOCK, -1)
    k, v = (_windows(F.pad(x, (0, 0, before, behind + tail))[0], blocks, before, behind) for x in (key, value))
    mask = _band_mask(layout, reach, before, behind, query.dtype)
    if query.dtype == torch.bfloat16:
        out: Tensor = _BlockAttention.apply(q * scaling, k, v, mask)  # type: ignore[no-untyped-call]
    else:
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling)
    return out.reshape(1, query.shape[1], blocks * BLOCK, -1)[:, :, :tokens].transpose(1, 2)


class _BlockAttention(torch.autograd.Function):
    """Attention of many small blocks in bfloat16 on a CPU: batched products over all blocks at once.

    Query (already scaled) is (H, N, B, D), key and value are (H, N, K, D), and the additive mask is (1, N, B, K);
    the result is (H, N, B, D). torch's own function computes the blocks one by one, which takes three times as long.
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
    """The smallest halo ≥ reach that divides the block or is a multiple of it."""
    halo = 1 << (reach - 1).bit_length()
    return halo if halo <= BLOCK else math.ceil(reach / BLOCK) * BLOCK


def _windows(x: Tensor, blocks: int, before: int, behind: int) -> Tensor:
    """The keys of each block with the halos before and behind it: (H, before + N × B + behind, D) → (H, N, K, D)."""
    part = min(before, BLOCK)
    per_block, per_window = BLOCK // part, (before + BLOCK + behind) // part
    parts = x.view(x.shape[0], -1, part, x.shape[-1])
    columns = [parts[:, i : i + (blocks - 1) * per_block + 1 : per_block] for i in range(per_window)]
    return torch.cat(columns, dim=2)


def _band_mask(layout: Layout, reach: int, before: int, behind: int, dtype: torch.dtype) -> Tensor:
    """The additive mask of a local layer, (1, N, B, K): 0 where a query attends to a key, −inf elsewhere."""
    cached = layout.band_masks.get((reach, dtype))
    if cached is not None:
        return cached
    window = before + BLOCK + behind
    # The padding behind the row forms a document of its own; otherwise its softmax would have no keys.
    documents = F.pad(layout.document_of, (0, -len(layout.document_of) % BLOCK), value=-1)
    keys = F.pad(documents, (before, behind), value=-2).unfold(0, window, BLOCK)
    columns, rows = (torch.arange(size, device=keys.device) for size in (window, BLOCK))
    distance = rows[:, None] - (columns[None, :] - before)
    near = (distance <= reach) & (distance >= (0 if layout.causal else -reach))
    allowed = (documents.view(-1, BLOCK, 1) == keys[:, None, :]) & near
    mask = torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill_(~allowed, -math.inf).unsqueeze(0)
    layout.band_masks[(reach, dtype)] = mask
    return mask


AttentionInterface.register(PACKED, packed_attention)
AttentionInterface.register(REFERENCE, reference_attention)
