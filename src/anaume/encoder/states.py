"""Rows of token ids → last hidden states, batch by batch and without padding.

A ModernBERT runs on packed rows and never sees padding. Other models run on padded rows, whose padding is removed here,
so that callers always get one flat row of real tokens per batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import ModernBertModel

from anaume.encoder.load import Encoder
from anaume.errors import UserError
from anaume.model.attention import packed_rows
from anaume.model.packed import pack, packed_states


@dataclass(frozen=True)
class HiddenStates:
    """Last hidden states of one batch, without padding.

    `rows`     indices of the batch's rows among all rows, in the order of `states`
    `lengths`  tokens of each row
    `states`   (sum of lengths, hidden), on the encoder's device
    """

    rows: list[int]
    lengths: list[int]
    states: Tensor


def batches_by_length(lengths: Sequence[int], batch_tokens: int, *, packed: bool = False) -> Iterator[list[int]]:
    """Yield batches of row indices, longest rows first, of at most `batch_tokens` tokens or of one row.

    A padded batch counts rows × longest row; a `packed` batch counts the rows' own tokens.
    """
    batch: list[int] = []
    tokens = 0
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        after = tokens + lengths[index] if packed else (len(batch) + 1) * lengths[(batch or [index])[0]]
        if batch and after > batch_tokens:
            yield batch
            batch, after = [], lengths[index]
        batch.append(index)
        tokens = after
    if batch:
        yield batch


def hidden_states(
    encoder: Encoder, rows: Sequence[Sequence[int]], *, batch_tokens: int, layer: int | None = None
) -> Iterator[HiddenStates]:
    """Run the network without its head over rows of ids, in batches that begin with the longest rows.

    The states are those after the last layer, or those of `layer` as transformers counts them: 0 are the embeddings.

    Packed and padded rows give the same numbers. Token types are not passed: models that have them then use
    zeros, which a tokenizer would also return for a single text.

    Raises:
        UserError: the network has no such layer.
    """
    if layer is not None and layer > (layers := encoder.model.config.num_hidden_layers):
        raise UserError(f"--layer {layer}: {encoder.name} has {layers} layers; expected 0 to {layers}")
    packed = isinstance(encoder.model.base_model, ModernBertModel)
    run = _states_of_packed_rows if packed else _states_of_padded_rows
    for indices in batches_by_length([len(row) for row in rows], batch_tokens, packed=packed):
        batch_rows = [rows[i] for i in indices]
        with torch.inference_mode():
            states = run(encoder, batch_rows, layer)
        yield HiddenStates(indices, [len(row) for row in batch_rows], states)


def _states_of_packed_rows(encoder: Encoder, rows: Sequence[Sequence[int]], layer: int | None) -> Tensor:
    packed = pack(rows, encoder.max_length, encoder.device)
    with packed_rows(encoder.model):
        return packed_states(encoder.model.base_model, packed.input_ids, packed.position_ids, packed.layout, layer)


def _states_of_padded_rows(encoder: Encoder, rows: Sequence[Sequence[int]], layer: int | None) -> Tensor:
    ids, mask = pad(encoder, rows)
    inputs = {"input_ids": ids, "attention_mask": mask}
    if layer is None:
        states: Tensor = encoder.model.base_model(**inputs).last_hidden_state
    else:
        states = encoder.model.base_model(**inputs, output_hidden_states=True).hidden_states[layer]
    return states[mask.bool()]


def pad(encoder: Encoder, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return ids and attention mask of padded rows, both (rows, longest) int64 on the encoder's device."""
    longest = max(len(row) for row in rows)
    padding = encoder.tokenizer.pad_token_id or 0  # nothing attends to padding, so any id will do
    ids = torch.tensor([[*row, *[padding] * (longest - len(row))] for row in rows])
    mask = torch.arange(longest)[None, :] < torch.tensor([len(row) for row in rows])[:, None]
    return ids.to(encoder.device), mask.long().to(encoder.device)


def check_numbers(encoder: Encoder, outputs: Tensor) -> None:
    """Refuse NaN. Every comparison with NaN is false, so metrics would turn it into ordinary numbers, even into 1.

    Raises:
        UserError: names the model.
    """
    if outputs.isnan().any():
        raise UserError(f"{encoder.name}: gives NaN; expected numbers (weights of a training that diverged?)")
