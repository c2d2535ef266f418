"""Texts → rows of token ids with the special tokens, cut to the model's length."""

from collections.abc import Sequence
from dataclasses import dataclass

from anaume.encoder.load import Encoder, special_ids


@dataclass(frozen=True)
class Tokenized:
    """Rows of token ids, special tokens included, and the number of rows that were truncated."""

    rows: list[list[int]]
    truncated: int


def tokenize(encoder: Encoder, texts: Sequence[str]) -> Tokenized:
    """Encode texts with special tokens, truncated on the right to `max_length` as `truncation=True` does."""
    if not texts:
        return Tokenized([], 0)
    rows = encoder.tokenizer(list(texts), verbose=False)["input_ids"]
    _, suffix = special_ids(encoder.tokenizer)
    kept = encoder.max_length - len(suffix)
    truncated = 0
    for i, row in enumerate(rows):
        if len(row) > encoder.max_length:
            rows[i] = [*row[:kept], *suffix]
            truncated += 1
    return Tokenized(rows, truncated)
