"""One document with one token masked at a time → the last hidden state at each of the masks, without padding.

The copies of a document differ in one token, and of each copy one place is asked for. Three savings follow; all of them
are exact, and the weights and modules are those of Hugging Face's model:

- Layer 0 (global). The other tokens' queries, keys and values are those of the document without a mask. One key leaves
  each softmax and one enters it, so its result is corrected, in time linear in the length, instead of made anew.
- The last global layer answers only the tokens that the layers above it look at.
- Those local layers see a window around the mask only: m layers of reach r, 2 m r + 1 tokens.

The layers between run whole, as packed rows.

Shapes: n tokens of the document, P masked places of it, c copies in a batch, w tokens of a window, C hidden size, H
heads, D head size.
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
LEAST = 1e-9  # of float64's 16 digits 7 are left for a result divided by this

Rope = tuple[Tensor, Tensor]  # cosines and sines, (tokens, D) each


@dataclass(frozen=True)
class _Document:
    """The document without a mask in layer 0, in float64.

    `query`, `key`, `value`  (H, n, D), the query scaled
    `attended`               (n, H, D) the attention's result
    `log_sum`                (H, n, 1) logarithm of the sum under each softmax
    """

    query: Tensor
    key: Tensor
    value: Tensor
    attended: Tensor
    log_sum: Tensor


def supports(model: ModernBertModel) -> bool:
    """Whether `masked_states` takes such a network: layer 0 must be global, as ModernBERT's is."""
    first: Any = model.layers[0]
    return bool(first.attention_type == GLOBAL)


@torch.inference_mode()
def masked_states(model: ModernBertModel, ids: Tensor, places: Tensor, mask_id: int, *, batch_tokens: int) -> Tensor:
    """(n,) ids, (P,) places → (P, C): the last hidden state at each place, of the document with that place masked.

    At most `batch_tokens` tokens of copies are in memory at a time, or one copy.
    """
    layers: Any = model.layers
    kinds = [layer.attention_type for layer in layers]
    last = max(i for i, kind in enumerate(kinds) if kind == GLOBAL)
    rope = {kind: _rope(model, len(ids), kind) for kind in set(kinds)}
    states = model.embeddings(ids)
    mask = model.embeddings(torch.tensor(mask_id, device=ids.device))
    document = _document(layers[0], states, rope[GLOBAL]) if last else None
    found = []
    for some in places.split(max(1, batch_tokens // len(ids))):
        copies = states.repeat(len(some), 1, 1)
        copies[torch.arange(len(some), device=ids.device), some] = mask
        with packed_rows(model):
            if document:
                copies = _first_layer(layers[0], document, copies, some, rope[GLOBAL])
                tiled = {kind: (c.repeat(len(some), 1), s.repeat(len(some), 1)) for kind, (c, s) in rope.items()}
                copies = _run(layers[1:last], copies, tiled)
            found.append(_above(model, last, copies, some, rope))
    normed: Tensor = model.final_norm(torch.cat(found))
    return normed


def _rope(model: ModernBertModel, tokens: int, kind: str) -> Rope:
    positions = torch.arange(tokens, device=model.device).unsqueeze(0)
    cosines, sines = model.rotary_emb(model.embeddings.norm.weight, positions, kind)
    return cosines[0], sines[0]


def _project(layer: ModernBertEncoderLayer, states: Tensor, rope: Rope) -> tuple[Tensor, Tensor, Tensor]:
    """(…, tokens, C) → query, key and value, (…, H, tokens, D) each, the first two rotated."""
    parts = layer.attn.Wqkv(layer.attn_norm(states)).unflatten(-1, (3, -1, layer.attn.head_dim))
    query, key, value = (x.transpose(-3, -2) for x in parts.unbind(-3))
    return *apply_rotary_pos_emb(query, key, *rope, unsqueeze_dim=0), value


def _finish(layer: ModernBertEncoderLayer, states: Tensor, attended: Tensor) -> Tensor:
    """What a layer does behind its attention: (…, tokens, C), (…, tokens, H, D) → (…, tokens, C)."""
    states = states + layer.attn.Wo(attended.flatten(-2))
    finished: Tensor = states + layer.mlp(layer.mlp_norm(states))
    return finished


def _project_in_double(layer: ModernBertEncoderLayer, states: Tensor, rope: Rope) -> tuple[Tensor, Tensor, Tensor]:
    """The same in float64, the query scaled: its product with a key is what the softmax takes."""
    query, key, value = (x.double() for x in _project(layer, states, rope))
    return query * layer.attn.head_dim**-0.5, key, value


def _document(layer: ModernBertEncoderLayer, states: Tensor, rope: Rope) -> _Document:
    query, key, value = _project_in_double(layer, states, rope)
    attended, log_sums = [], []
    for some in query.split(QUERIES_AT_ONCE, dim=1):
        weights = some @ key.mT
        highest = weights.amax(-1, keepdim=True)
        total = weights.sub_(highest).exp_().sum(-1, keepdim=True)
        attended.append(weights @ value / total)
        log_sums.append(highest + total.log())
    return _Document(query, key, value, torch.cat(attended, 1).transpose(0, 1).contiguous(), torch.cat(log_sums, 1))


def _first_layer(
    layer: ModernBertEncoderLayer, document: _Document, copies: Tensor, places: Tensor, rope: Rope
) -> Tensor:
    """Layer 0: (c, n, C) → (c, n, C).

    Of a token's attention the share a went to the token that is hidden now, with value v. The mask in its place has the
    weight b in the same units, and value u: the new result is (result − a v + b u) / (1 − a + b), in float64. It is
    made anew where the divisor is below LEAST or above its inverse, and for the masks, which ask with another query.
    """
    copy = torch.arange(len(copies), device=copies.device)
    query, key, value = _project_in_double(layer, copies[copy, places], (rope[0][places], rope[1][places]))
    old_key, old_value = document.key[:, places], document.value[:, places]
    leaving, entering = (  # a and b, (c, n, H, 1)
        (document.query @ x.mT - document.log_sum).exp_().permute(2, 1, 0).unsqueeze(-1) for x in (old_key, key)
    )
    left = 1 - leaving + entering
    attended = torch.addcmul(document.attended, leaving, old_value.transpose(0, 1).unsqueeze(1), value=-1)
    attended.addcmul_(entering, value.transpose(0, 1).unsqueeze(1)).div_(left)
    anew = ~((left > LEAST) & (left < 1 / LEAST)).squeeze(-1)
    anew[copy, places] = True
    for head in range(len(query)):
        c, token = anew[..., head].nonzero(as_tuple=True)
        asking = torch.where((token == places[c]).unsqueeze(1), query[head, c], document.query[head, token])
        scores = asking @ document.key[head].T
        at = torch.arange(len(c), device=c.device), places[c]
        scores[at] = (asking * key[head, c]).sum(-1)
        shares = scores.softmax(-1)
        change = shares[at].unsqueeze(1) * (value - old_value)[head, c]
        attended[c, token, head] = shares @ document.value[head] + change
    return _finish(layer, copies, attended.to(copies.dtype))


def _run(layers: Iterable[ModernBertEncoderLayer], states: Tensor, rope: dict[str, Rope]) -> Tensor:
    """Run layers over stretches of one length, end to end in one row: (c, length, C), tables (c × length, D)."""
    count, length, _ = states.shape
    layout = layout_of([length] * count, length, states.device)
    row = states.flatten(0, 1).unsqueeze(0)
    for layer in layers:
        tables = tuple(x.unsqueeze(0) for x in rope[layer.attention_type])
        row = layer(row, attention_mask=layout, position_embeddings=tables)
    return row.view_as(states)


def _above(model: Any, last: int, copies: Tensor, places: Tensor, rope: dict[str, Rope]) -> Tensor:
    """Run the last global layer and those above it for the masks only: (c, n, C) → (c, C).

    A window's outer tokens come out wrong, for they miss their neighbours. With every layer that error moves one reach
    inwards, and it stops short of the mask.
    """
    asked, *layers = model.layers[last:]
    half = len(layers) * model.config.sliding_window
    width = min(copies.shape[1], 2 * half + 1)
    start = (places - half).clamp(0, copies.shape[1] - width)
    window = start[:, None] + torch.arange(width, device=places.device)
    states = _asked(asked, copies, window, rope[GLOBAL])
    at = window.flatten()
    states = _run(layers, states, {kind: (cosines[at], sines[at]) for kind, (cosines, sines) in rope.items()})
    return states[torch.arange(len(places), device=places.device), places - start]


def _asked(layer: ModernBertEncoderLayer, copies: Tensor, window: Tensor, rope: Rope) -> Tensor:
    """A global layer's result where it is asked for: (c, n, C), indices (c, w) → (c, w, C)."""
    copy = torch.arange(len(copies), device=copies.device)[:, None]
    query, key, value = _project(layer, copies, rope)
    asking = query.transpose(1, 2)[copy, window].transpose(1, 2)
    attended = F.scaled_dot_product_attention(asking, key, value, scale=layer.attn.head_dim**-0.5)
    return _finish(layer, copies[copy, window], attended.transpose(1, 2))
