"""Texts → rows of token ids with the special tokens, cut to the model's length."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from anaume.encoder.load import Encoder
from anaume.errors import UserError


@dataclass(frozen=True)
class Tokenized:
    """Rows of token ids, special tokens included, and the number of rows that were truncated."""

    rows: list[list[int]]
    truncated: int


@lru_cache(maxsize=16)
def special_ids(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids that the tokenizer puts before and after a text, for example `((CLS,), (SEP,))`.

    Raises:
        UserError: the tokenizer does something else than adding ids at both ends.
    """
    full = tokenizer("あ")["input_ids"]
    bare = tokenizer("あ", add_special_tokens=False)["input_ids"]
    starts = [i for i in range(len(full) - len(bare) + 1) if full[i : i + len(bare)] == bare]
    if not starts:
        raise UserError(
            f"{tokenizer.name_or_path}: without special tokens its tokenizer encodes あ as {bare}, with them as {full};"
            " expected a tokenizer that only adds ids at both ends"
        )
    return tuple(full[: starts[0]]), tuple(full[starts[0] + len(bare) :])


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
