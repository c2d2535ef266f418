"""The tab of tokens: a text → how each model's tokenizer cuts it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anaume.finetune.spans import encode_with_characters
from anaume.play.limits import one_text
from anaume.tokenizer.unigram import SPACE_MARKS


@dataclass(frozen=True, slots=True)
class Token:
    """A token: the characters that it stands for (empty for a later byte of one), its piece, its id, if unknown."""

    text: str
    piece: str
    id: int
    unknown: bool


@dataclass(frozen=True)
class Cut:
    """The tokens of a text, and their number per character."""

    tokens: tuple[Token, ...]
    per_character: float


def cut(tokenizers: Mapping[str, Any], text: str) -> dict[str, Cut]:
    """Return model → the text's tokens, special tokens excluded.

    Raises:
        UserError: an empty text, or one that is too long.
    """
    one_text(text)
    return {name: _cut(tokenizer, text) for name, tokenizer in tokenizers.items()}


def _cut(tokenizer: Any, text: str) -> Cut:
    [(ids, characters)] = encode_with_characters(tokenizer, [text])
    pieces, end, tokens = tokenizer.convert_ids_to_tokens(ids), 0, []
    for token, piece, (low, high) in zip(ids, pieces, characters, strict=True):
        shown = "" if piece in SPACE_MARKS else text[max(low, end) : high]  # a lone mark stands for no character
        end = end if piece in SPACE_MARKS else max(end, high)
        tokens.append(Token(shown, str(piece), token, token == tokenizer.unk_token_id))
    return Cut(tuple(tokens), len(tokens) / len(text))
