"""Padded rows on the packed attention: anybody's ModernBERT, called with `input_ids` and `attention_mask`, runs packed.

Importing this module registers the attention `NAME` with transformers, for `from_pretrained(…,
attn_implementation="anaume")`: each attention drops the padding and puts it back. `fast` drops the padding once for the
whole network, so that no layer computes it. The rule: at real tokens, outputs and gradients equal those of the model's
own attention; at padding the hidden states are 0.

Shapes: B rows of L slots each, T real tokens in all rows together, H heads, D head size.
"""

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, ModernBertModel, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from anaume.errors import UserError
from anaume.model.attention import Layout, layout_of, packed_attention

NAME = "anaume"
# Beside the layouts of the two kinds of layer, the attention mask of a packed call holds its `PaddedRows` here.
_ROWS = "padded_rows"
_INPUTS = ("input_ids", "attention_mask", "position_ids", "inputs_embeds")
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class PaddedRows:
    """Where the real tokens of padded rows are.

    `indices`  (T,) slots of the real tokens in the rows laid end to end, (B × L)
    `layout`   borders of the rows in the packed row
    """

    rows: int
    slots: int
    indices: Tensor
    layout: Layout

    def pack(self, padded: Tensor) -> Tensor:
        """Drop the padding: (B, L, …) → (1, T, …)."""
        return padded.flatten(0, 1).index_select(0, self.indices).unsqueeze(0)

    def pad(self, packed: Tensor) -> Tensor:
        """Put the padding back, as zeros: (1, T, …) → (B, L, …)."""
        zeros = packed.new_zeros(self.rows * self.slots, *packed.shape[2:])
        padded: Tensor = zeros.index_copy(0, self.indices, packed[0]).unflatten(0, (self.rows, self.slots))
        return padded


def padded_rows(attention_mask: Tensor) -> PaddedRows | None:
    """The real tokens of rows with this mask, (B, L); None unless the real tokens of each row are neighbours.

    Local layers measure distances in slots. These change when padding between two real tokens is dropped.
    """
    real = attention_mask.bool()
    begins = real & ~F.pad(real, (1, 0))[:, :-1]
    counts = torch.stack([real.sum(1), begins.sum(1)])
    lengths, runs = counts.tolist()  # one copy from the device
    if max(runs) > 1 or not any(lengths):
        return None
    layout = layout_of([length for length in lengths if length], real.shape[1], real.device)
    return PaddedRows(real.shape[0], real.shape[1], real.flatten().nonzero()[:, 0], layout)


def padded_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
) -> tuple[Tensor, None]:
    """Attention of padded rows, each (B, H, L, D) → (B, L, H, D), or of a packed row if the mask is a `Layout`.

    Any other mask is torch's, and so is the attention.

    Raises:
        UserError: the call asks for dropout of attention weights, which packed attention does not have.
    """
    if kwargs.get("dropout"):
        raise UserError(f"attention_dropout = {kwargs['dropout']}: not with packed attention; expected 0")
    if isinstance(attention_mask, Layout):
        return packed_attention(module, query, key, value, attention_mask, **kwargs)
    if isinstance(attention_mask, PaddedRows):
        q, k, v = (attention_mask.pack(x.transpose(1, 2)).transpose(1, 2) for x in (query, key, value))
        out, _ = packed_attention(module, q, k, v, attention_mask.layout, **kwargs)
        return attention_mask.pad(out), None
    return sdpa_attention_forward(module, query, key, value, attention_mask, **kwargs)


def padded_mask(
    batch_size: int, q_length: int, kv_length: int, attention_mask: Tensor | None = None, **kwargs: Any
) -> Any:
    """The mask that transformers hands down to `padded_attention`: `PaddedRows`, or torch's mask of another model."""
    plain = kwargs["config"].model_type == "modernbert" and q_length == kv_length and not kwargs.get("use_vmap")
    real = torch.ones(batch_size, q_length, device=kwargs["device"]) if attention_mask is None else attention_mask
    if plain and (rows := padded_rows(real)):
        return rows
    return sdpa_mask(batch_size, q_length, kv_length, attention_mask=attention_mask, **kwargs)


def fast(model: Network) -> Network:
    """Make a loaded ModernBERT run without padding and with packed attention, and return the same model.

    `model` is what `AutoModel`, `AutoModelForMaskedLM`, `AutoModelForSequenceClassification`,
    `AutoModelForTokenClassification` and so on returned. It is called as before, with padded `input_ids` and
    `attention_mask`, on a CPU or a GPU, for inference or training. Its results at real tokens equal those of its own
    attention but for rounding. At padding, the hidden states become 0; there is no other change. Rows whose padding
    lies between tokens, and masks of other shapes, run as before.

    Raises:
        UserError: the model is not a ModernBERT, or has `attention_dropout`, which packed attention lacks.
    """
    base = model.base_model if isinstance(model, PreTrainedModel) else model
    if not isinstance(base, ModernBertModel):
        raise UserError(f"fast: {type(model).__name__}: not a ModernBERT; expected a model of transformers' ModernBERT")
    if base.config.attention_dropout:
        raise UserError(f"fast: attention_dropout = {base.config.attention_dropout}: not supported; expected 0")
    cast("PreTrainedModel", model).set_attn_implementation(NAME)
    if _pack_inputs not in base._forward_pre_hooks.values():
        base.register_forward_pre_hook(_pack_inputs, with_kwargs=True)
        base.register_forward_hook(_pad_outputs, with_kwargs=True)
    return model


def _pack_inputs(
    _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, dict[str, Any]] | None:
    """Before the network's forward: padded rows → one packed row. None leaves the inputs as they are."""
    inputs = kwargs | dict(zip(_INPUTS, args, strict=False))
    ids, mask, positions, embeds = (inputs.get(name) for name in _INPUTS)
    tokens = embeds if ids is None else ids
    if tokens is None or not (mask is None or (isinstance(mask, Tensor) and mask.dim() == 2)):
        return None
    shape = tokens.shape[:2]
    rows = padded_rows(torch.ones(shape, device=tokens.device) if mask is None else mask.to(tokens.device))
    if rows is None:
        return None
    if positions is None:
        positions = torch.arange(shape[1], device=tokens.device)[None]
    masks = {"full_attention": rows.layout, "sliding_attention": rows.layout, _ROWS: rows}
    packed = {"position_ids": rows.pack(positions.expand(shape)), "attention_mask": masks}
    return (), inputs | packed | {"input_ids" if embeds is None else "inputs_embeds": rows.pack(tokens)}


def _pad_outputs(_module: nn.Module, _args: Any, kwargs: dict[str, Any], output: Any) -> Any:
    """After the network's forward: put the padding back into the hidden states."""
    mask = kwargs.get("attention_mask")
    if not isinstance(mask, dict) or (rows := mask.get(_ROWS)) is None:
        return output

    def pad(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(pad(item) for item in value)
        return rows.pad(value) if isinstance(value, Tensor) else value

    if isinstance(output, tuple):
        return pad(output)
    return type(output)(**{name: pad(value) for name, value in output.items()})


AttentionInterface.register(NAME, padded_attention)
AttentionMaskInterface.register(NAME, padded_mask)
