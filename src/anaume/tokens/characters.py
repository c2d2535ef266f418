"""Loss per token → bits per character, in which models with different tokenizers can be compared."""

import math
from collections.abc import Sequence

from anaume.tokens.store import Store


def tokens_per_character(stores: Sequence[Store]) -> float | None:
    """Tokens per character of the text of stores, [CLS] and [SEP] not counted; None if a store counts no characters."""
    characters = [store.characters for store in stores]
    return sum(store.tokens for store in stores) / sum(characters) if characters and all(characters) else None


def bits_per_character(loss: float, tokens_per_character: float | None) -> float | None:
    """Mean masked loss per token (nats) × tokens per character / ln 2; None without a finite loss or characters.

    For a masked model this is no code length: each masked token is guessed from a context that shows most of the
    others. At one mask rate it does compare vocabularies, because longer tokens are harder to guess but fewer.
    """
    if tokens_per_character is None or not math.isfinite(loss):
        return None
    return loss * tokens_per_character / math.log(2)
