"""The forward pass of a ModernBERT over one packed row. Training, evaluation and fine-tuning all use it.

Shapes: T tokens of the packed row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from anaume.model.attention import Layout, layout_of


@dataclass(frozen=True)
class PackedRow:
    """Rows of ids laid end to end, on the model's device."""

    input_ids: Tensor  # (1, T)
    position_ids: Tensor  # (1, T), counted from 0 in each row
    layout: Layout


def pack(rows: Sequence[Sequence[int]], max_length: int, device: torch.device) -> PackedRow:
    """Lay rows of token ids end to end; `max_length` is an upper bound on the length of a row."""
    lengths = [len(row) for row in rows]
    ids = torch.tensor(list(chain.from_iterable(rows)), device=device)
    positions = torch.cat([torch.arange(length) for length in lengths]).to(device)
    return PackedRow(ids.unsqueeze(0), positions.unsqueeze(0), layout_of(lengths, max_length, device))


def packed_states(
    model: Any, input_ids: Tensor, position_ids: Tensor, layout: Layout, layer: int | None = None
) -> Tensor:
    """Run a ModernBertModel over a packed row and return its last hidden states, or those of a layer, (T, hidden).

    `layer` counts as in transformers' `hidden_states`: 0 are the embeddings, 1 the output of the first layer.

    The model must use one of the attention functions of `anaume.model.attention`: transformers hands a dictionary given
    as `attention_mask` down to them unchanged.
    """
    layouts = {"full_attention": layout, "sliding_attention": layout}
    inputs = {"input_ids": input_ids, "position_ids": position_ids, "attention_mask": layouts}
    if layer is None:
        states: Tensor = model(**inputs).last_hidden_state[0]
    else:
        states = model(**inputs, output_hidden_states=True).hidden_states[layer][0]
    return states
