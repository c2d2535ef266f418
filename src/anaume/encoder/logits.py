"""Rows of token ids, and positions in the rows → logits at these positions only."""

from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from transformers import ModernBertForMaskedLM

from anaume.encoder.load import Encoder
from anaume.encoder.states import batches_by_length, check_numbers, hidden_states, pad

# Tokens of a batch for models that give logits at every position: 1,024 × 100,000 × 4 bytes are already 400 MB.
FULL_LOGITS_TOKENS = 1_024


def logits_at(
    encoder: Encoder,
    rows: Sequence[Sequence[int]],
    positions: Sequence[Sequence[int]],
    *,
    batch_tokens: int = 8192,
) -> Iterator[tuple[int, Tensor]]:
    """Yield (index of a row, its logits (positions, vocabulary) float32 on the CPU), longest rows first.

    A ModernBERT computes its head at these positions only; other models save at least the product with the vocabulary.
    """
    if not isinstance(encoder.model, ModernBertForMaskedLM):
        yield from _logits_of_padded_rows(encoder, rows, positions, batch_tokens)
        return
    for hidden in hidden_states(encoder, rows, batch_tokens=batch_tokens):
        flat = _flat_positions([positions[row] for row in hidden.rows], hidden.lengths)
        with torch.inference_mode():
            selected = hidden.states[torch.tensor(flat, device=encoder.device)]
            logits = encoder.model.decoder(encoder.model.head(selected)).float().cpu()
        check_numbers(encoder, logits)
        counts = [len(positions[row]) for row in hidden.rows]
        yield from zip(hidden.rows, logits.split(counts), strict=True)


def _flat_positions(positions: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[int]:
    """Turn positions in rows into positions in the same rows laid end to end."""
    starts = accumulate(lengths[:-1], initial=0)
    return [start + p for start, row_positions in zip(starts, positions, strict=True) for p in row_positions]


def _logits_of_padded_rows(
    encoder: Encoder, rows: Sequence[Sequence[int]], positions: Sequence[Sequence[int]], batch_tokens: int
) -> Iterator[tuple[int, Tensor]]:
    """Logits from padded rows. If the model's last module is linear, it receives only the rows' `positions`."""
    decoder = encoder.model.get_output_embeddings()
    narrow = isinstance(decoder, nn.Linear)
    limit = batch_tokens if narrow else min(batch_tokens, FULL_LOGITS_TOKENS)
    for batch in batches_by_length([len(row) for row in rows], limit):
        ids, mask = pad(encoder, [rows[i] for i in batch])
        flat = _flat_positions([positions[i] for i in batch], [ids.shape[1]] * len(batch))
        targets = torch.tensor(flat, device=ids.device)
        hook = decoder.register_forward_pre_hook(lambda _, x, i=targets: x[0].flatten(0, 1)[i]) if narrow else None
        try:
            with torch.inference_mode():
                logits = encoder.model(input_ids=ids, attention_mask=mask).logits
        finally:
            if hook:
                hook.remove()
        logits = (logits if narrow else logits.flatten(0, 1)[targets]).float().cpu()
        check_numbers(encoder, logits)
        yield from zip(batch, logits.split([len(positions[i]) for i in batch]), strict=True)
