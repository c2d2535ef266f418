"""A document, masked at one place at a time → the last hidden state at each mask, without padding.

The copies of a document differ in one token, and each copy needs the state at one place only. Three savings follow. All
are exact, and all use the weights and modules of Hugging Face's model:

- Layer 0 is global. The queries, keys and values of the unmasked tokens are those of the unmasked document. One key
  leaves each softmax and another one enters it, so the attention is corrected in time linear in the length instead of
  computed again.
- The last global layer computes only the tokens that the local layers above it need.
- Those local layers run on a window around the mask: 2 m r + 1 tokens for m layers of reach r.

The layers in between run in full, as packed rows.

Shapes: n tokens of the document, P masked places, c copies in a batch, w tokens of a window, C hidden size, H heads, D
head size.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import ModernBertModel
from transformers.models.modernbert.modeling_modernbert import ModernBertEncoderLayer, apply_rotary_pos_emb

from anaume.model.attention import layout_of, packed_rows

GLOBAL = "full_attention"
QUERIES_AT_ONCE = 256  # in layer 0: 256 × 8,192 scores of a head in float64 take 16 MB
LEAST = 1e-9  # smallest divisor: float64 has 16 digits, and a result divided by this keeps 7

Rope = tuple[Tensor, Tensor]  # cosines and sines, (tokens, D) each


@dataclass(frozen=True)
class _UnmaskedAttention:
    """Layer 0's attention over the unmasked document, in float64.

    `query`, `key`, `value`  (H, n, D), the query scaled
    `attended`               (n, H, D) result of the attention
    `log_sum`                (H, n, 1) logarithm of the denominator of each softmax
    """

    query: Tensor
    key: Tensor
    value: Tensor
    attended: Tensor
    log_sum: Tensor


def supports(model: ModernBertModel) -> bool:
    """Whether `masked_states` supports this network: layer 0 must be global, as ModernBERT's is."""
    first: Any = model.layers[0]
    return bool(first.attention_type == GLOBAL)


@torch.inference_mode()
def masked_states(model: ModernBertModel, ids: Tensor, places: Tensor, mask_id: int, *, batch_tokens: int) -> Tensor:
    """The last hidden state at each place of the document with that place masked: ids (n,), places (P,) → (P, C).

    A batch has as many copies as fit into `batch_tokens` tokens, and at least one.
    """
    layers: Any = model.layers
    kinds = [layer.attention_type for layer in layers]
    last = max(i for i, kind in enumerate(kinds) if kind == GLOBAL)
    rope = {kind: _rope(model, len(ids), kind) for kind in set(kinds)}
    states = model.embeddings(ids)
    mask = model.embeddings(torch.tensor(mask_id, device=ids.device))
    unmasked = _unmasked_attention(layers[0], states, rope[GLOBAL]) if last else None
    outputs = []
    for batch in places.split(max(1, batch_tokens // len(ids))):
        copies = states.repeat(len(batch), 1, 1)
        copies[torch.arange(len(batch), device=ids.device), batch] = mask
        with packed_rows(model):
            if unmasked:
                copies = _first_layer(layers[0], unmasked, copies, batch, rope[GLOBAL])
                tiled = {kind: (c.repeat(len(batch), 1), s.repeat(len(batch), 1)) for kind, (c, s) in rope.items()}
                copies = _run(layers[1:last], copies, tiled)
            outputs.append(_top_layers(model, last, copies, batch, rope))
    normed: Tensor = model.final_norm(torch.cat(outputs))
    return normed


def _rope(model: ModernBertModel, tokens: int, kind: str) -> Rope:
    """Rotary tables for the positions of one document, in layers of this kind."""
    positions = torch.arange(tokens, device=model.device).unsqueeze(0)
    cosines, sines = model.rotary_emb(model.embeddings.norm.weight, positions, kind)
    return cosines[0], sines[0]


def _project(layer: ModernBertEncoderLayer, states: Tensor, rope: Rope) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key (both rotated) and value of a layer: (…, tokens, C) → (…, H, tokens, D) each."""
    parts = layer.attn.Wqkv(layer.attn_norm(states)).unflatten(-1, (3, -1, layer.attn.head_dim))
    query, key, value = (x.transpose(-3, -2) for x in parts.unbind(-3))
    return *apply_rotary_pos_emb(query, key, *rope, unsqueeze_dim=0), value


def _finish(layer: ModernBertEncoderLayer, states: Tensor, attended: Tensor) -> Tensor:
    """The part of a layer after its attention: (…, tokens, C), (…, tokens, H, D) → (…, tokens, C)."""
    states = states + layer.attn.Wo(attended.flatten(-2))
    finished: Tensor = states + layer.mlp(layer.mlp_norm(states))
    return finished


def _project_in_double(layer: ModernBertEncoderLayer, states: Tensor, rope: Rope) -> tuple[Tensor, Tensor, Tensor]:
    """`_project` in float64 with the query scaled, so that its product with a key is the input of the softmax."""
    query, key, value = (x.double() for x in _project(layer, states, rope))
    return query * layer.attn.head_dim**-0.5, key, value


def _unmasked_attention(layer: ModernBertEncoderLayer, states: Tensor, rope: Rope) -> _UnmaskedAttention:
    """Attention of the unmasked document in layer 0, some queries at a time; `states` is (n, C)."""
    query, key, value = _project_in_double(layer, states, rope)
    attended, log_sums = [], []
    for queries in query.split(QUERIES_AT_ONCE, dim=1):
        weights = queries @ key.mT
        highest = weights.amax(-1, keepdim=True)
        total = weights.sub_(highest).exp_().sum(-1, keepdim=True)
        attended.append(weights @ value / total)
        log_sums.append(highest + total.log())
    stacked = torch.cat(attended, 1).transpose(0, 1).contiguous()
    return _UnmaskedAttention(query, key, value, stacked, torch.cat(log_sums, 1))


def _first_layer(
    layer: ModernBertEncoderLayer, unmasked: _UnmaskedAttention, copies: Tensor, places: Tensor, rope: Rope
) -> Tensor:
    """Layer 0 of each copy, by correcting the attention of the unmasked document: (c, n, C) → (c, n, C).

    A token's attention gave the share a to the token that is now masked, whose value is v. The mask has the weight b,
    by the same denominator, and the value u. The new result is (result − a v + b u) / (1 − a + b), in float64. It is
    computed from scratch where the divisor is below LEAST or above its inverse, and at the masks with their own query.
    """
    copy = torch.arange(len(copies), device=copies.device)
    query, key, value = _project_in_double(layer, copies[copy, places], (rope[0][places], rope[1][places]))
    old_key, old_value = unmasked.key[:, places], unmasked.value[:, places]
    leaving, entering = (  # a and b, (c, n, H, 1)
        (unmasked.query @ x.mT - unmasked.log_sum).exp_().permute(2, 1, 0).unsqueeze(-1) for x in (old_key, key)
    )
    divisor = 1 - leaving + entering
    attended = torch.addcmul(unmasked.attended, leaving, old_value.transpose(0, 1).unsqueeze(1), value=-1)
    attended.addcmul_(entering, value.transpose(0, 1).unsqueeze(1)).div_(divisor)
    recompute = ~((divisor > LEAST) & (divisor < 1 / LEAST)).squeeze(-1)
    recompute[copy, places] = True
    for head in range(len(query)):
        c, token = recompute[..., head].nonzero(as_tuple=True)
        queries = torch.where((token == places[c]).unsqueeze(1), query[head, c], unmasked.query[head, token])
        scores = queries @ unmasked.key[head].T
        at_mask = torch.arange(len(c), device=c.device), places[c]
        scores[at_mask] = (queries * key[head, c]).sum(-1)
        shares = scores.softmax(-1)
        change = shares[at_mask].unsqueeze(1) * (value - old_value)[head, c]
        attended[c, token, head] = shares @ unmasked.value[head] + change
    return _finish(layer, copies, attended.to(copies.dtype))


def _run(layers: Iterable[ModernBertEncoderLayer], states: Tensor, rope: dict[str, Rope]) -> Tensor:
    """Run layers over sequences of one length as one packed row: (c, length, C) → (c, length, C).

    The rotary tables are (c × length, D) each.
    """
    count, length, _ = states.shape
    layout = layout_of([length] * count, length, states.device)
    row = states.flatten(0, 1).unsqueeze(0)
    for layer in layers:
        tables = tuple(x.unsqueeze(0) for x in rope[layer.attention_type])
        row = layer(row, attention_mask=layout, position_embeddings=tables)
    return row.view_as(states)


def _top_layers(model: Any, last: int, copies: Tensor, places: Tensor, rope: dict[str, Rope]) -> Tensor:
    """The last global layer, number `last`, and the layers above it, for the masks only: (c, n, C) → (c, C).

    The outer tokens of a window are wrong, because their neighbours are missing. Each layer moves that error inwards by
    one reach, and it never reaches the mask.
    """
    global_layer, *layers = model.layers[last:]
    half = len(layers) * model.config.sliding_window
    width = min(copies.shape[1], 2 * half + 1)
    start = (places - half).clamp(0, copies.shape[1] - width)
    window = start[:, None] + torch.arange(width, device=places.device)
    states = _global_layer_at(global_layer, copies, window, rope[GLOBAL])
    positions = window.flatten()
    tables = {kind: (cosines[positions], sines[positions]) for kind, (cosines, sines) in rope.items()}
    states = _run(layers, states, tables)
    return states[torch.arange(len(places), device=places.device), places - start]


def _global_layer_at(layer: ModernBertEncoderLayer, copies: Tensor, window: Tensor, rope: Rope) -> Tensor:
    """The output of a global layer at the tokens of a window: copies (c, n, C), indices (c, w) → (c, w, C)."""
    copy = torch.arange(len(copies), device=copies.device)[:, None]
    query, key, value = _project(layer, copies, rope)
    queries = query.transpose(1, 2)[copy, window].transpose(1, 2)
    attended = F.scaled_dot_product_attention(queries, key, value, scale=layer.attn.head_dim**-0.5)
    return _finish(layer, copies[copy, window], attended.transpose(1, 2))
