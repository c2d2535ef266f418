"""A ModernBERT as a module that `torch.export` can trace for any number of texts of any length.

The masks are made from the attention mask inside the graph, so they hold beyond the traced length. Masked scores get
the smallest finite float32 and not −inf: a padding row in which all scores are masked then has a mean of the values and
not NaN, which mean pooling would carry into the embedding.

Shapes: B texts, S tokens, H heads, D head size, N blocks of R queries, each with the 3 R keys within its reach.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, ModernBertForMaskedLM

GRAPH = "anaume_graph"


class StatesGraph(nn.Module):
    """(B, S) ids and attention mask → (B, S, hidden) last hidden states."""

    def __init__(self, network: ModernBertForMaskedLM) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Run the network without its head."""
        real = attention_mask.bool()
        masks = {
            "full_attention": _additive(real[:, None, None, :]),
            "sliding_attention": _local_mask(real, self.network.config.sliding_window),
        }
        states: Tensor = self.network.model(input_ids=input_ids, attention_mask=masks).last_hidden_state
        return states


class LogitsGraph(StatesGraph):
    """(B, S) ids and attention mask → (B, S, vocabulary) logits of the masked-LM head."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Run the network with its head."""
        states = super().forward(input_ids, attention_mask)
        logits: Tensor = self.network.decoder(self.network.head(states))
        return logits


def graph_attention(
    _module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention of (B, H, S, D) queries, keys and values; the result is (B, S, H, D).

    A local layer has a mask of five dimensions (`_local_mask`). Its cost grows with S, and that of a global layer with
    the square of S.
    """
    window = kwargs.get("sliding_window")
    if window is not None:
        length = query.shape[2]
        queries, keys = _indices(length, int(window) - 1)
        query = query[:, :, queries.clamp(max=length - 1)]
        key, value = (x[:, :, keys.clamp(0, length - 1)] for x in (key, value))
    scores = (query * kwargs["scaling"]) @ key.transpose(-1, -2) + attention_mask
    attended = scores.softmax(-1) @ value
    if window is not None:
        attended = attended.flatten(2, 3)[:, :, :length]
    return attended.transpose(1, 2), None


def _additive(allowed: Tensor) -> Tensor:
    return torch.where(allowed, 0.0, torch.finfo(torch.float32).min)


def _local_mask(real: Tensor, reach: int) -> Tensor:
    """The additive mask of local layers, (B, 1, N, R, 3 R), from the mask (B, S) of the real tokens."""
    length = real.shape[1]
    queries, keys = _indices(length, reach)
    near = (queries[:, :, None] - keys[:, None, :]).abs() <= reach
    inside = (keys >= 0) & (keys < length)
    allowed = near & (inside & real[:, keys.clamp(0, length - 1)])[:, :, None, :]
    return _additive(allowed).unsqueeze(1)


def _indices(length: int, reach: int) -> tuple[Tensor, Tensor]:
    """The positions of the queries (N, R) and the keys (N, 3 R) of each block; some lie outside the text."""
    starts = torch.arange((length + reach - 1) // reach)[:, None] * reach
    return starts + torch.arange(reach), starts + torch.arange(3 * reach) - reach


AttentionInterface.register(GRAPH, graph_attention)
