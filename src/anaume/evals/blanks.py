"""Text with blanks → token ids with masks, as the model saw them in pretraining.

"[MASK]" marks a blank, whatever the model's own mask token is. A SentencePiece-like tokenizer treats the text after a
mask as a text of its own and puts "▁" before it (吾輩は[MASK]である → … MASK ▁ で ある). In pretraining, however, the
plain continuation follows a masked word. A byte-level BPE leaves the space before a mask as a token of its own (is
[MASK] → is Ġ MASK), unless its mask token takes the space with it; in pretraining the space belongs to the word.
`careful` encodes each side so that no such "▁" or "Ġ" appears; `naive` does what transformers' fill-mask pipeline does.
For a tokenizer without these habits, both give the same ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from anaume.encoder.load import Encoder, special_ids
from anaume.errors import UserError
from anaume.evals.inputs.cloze import PLACEHOLDER
from anaume.tokenizer.unigram import SPACE_MARKS

# A continuation is encoded after one of these texts, whose tokens are then cut off. A private-use character is in no
# vocabulary, so nothing merges with it. The others are for tokenizers that turn it into an unknown token.
SENTINELS = ("\ue000", "。", "、", "の", "ア", "a", "1", "-")


@dataclass(frozen=True)
class MaskedRow:
    """A row of ids with special tokens, the positions of its masks, and whether it was cut to the model's length."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    truncated: bool


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Encode a text on its own, without special tokens."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []
    return ids


@lru_cache(maxsize=16)
def marks_spaces(tokenizer: Any) -> bool:
    """Return whether the tokenizer writes "▁" or "Ġ" for a space, as SentencePiece and byte-level BPE do."""
    pieces = tokenizer.convert_ids_to_tokens(plain_ids(tokenizer, "あ あ"))
    return any(mark in piece for piece in pieces for mark in SPACE_MARKS)


def continuation_ids(tokenizer: Any, text: str) -> list[int]:
    """Encode a text as the continuation of a word, without the "▁" that a text of its own would get.

    The text is encoded after a sentinel, whose tokens are cut off. This is exact if no token spans the boundary,
    because the best segmentation of the whole then consists of those of its two parts.

    Raises:
        UserError: the text merges with every sentinel.
    """
    if not text:
        return []
    for sentinel in SENTINELS:
        head = plain_ids(tokenizer, sentinel)
        if tokenizer.unk_token_id in head or tokenizer.convert_ids_to_tokens(head) in (
            [],
            *([mark] for mark in SPACE_MARKS),
        ):
            continue  # an unknown token may swallow an unknown neighbour; a character may be normalised away
        ids = plain_ids(tokenizer, sentinel + text)
        if ids[: len(head)] == head:
            return ids[len(head) :]
    raise UserError(
        f"{tokenizer.name_or_path}: {text!r}: can't be encoded as the continuation of a blank, because it merges with"
        f" each of {' '.join(SENTINELS[1:])}"
    )


def naive(encoder: Encoder, text: str, counts: Sequence[int]) -> MaskedRow:
    """Encode `text` as transformers' pipeline does, with `counts[i]` masks for the i-th placeholder."""
    first, *rest = text.split(PLACEHOLDER)
    marked = first + "".join(
        encoder.tokenizer.mask_token * count + part for count, part in zip(counts, rest, strict=True)
    )
    return _masked_row(encoder, plain_ids(encoder.tokenizer, marked), sum(counts))


def careful(encoder: Encoder, text: str, counts: Sequence[int], lead: Sequence[int] = ()) -> MaskedRow:
    """Encode `text` with `counts[i]` masks for the i-th placeholder, and add no space that the text does not have.

    A space before a blank belongs to the word in the blank ("is [MASK]" hides "▁Paris"), so it is dropped. `lead` are
    ids to keep before the first mask, see `answer_ids`.
    """
    tokenizer = encoder.tokenizer
    if not marks_spaces(tokenizer):
        return naive(encoder, text, counts)
    first, *rest = text.split(PLACEHOLDER)
    ids = [*plain_ids(tokenizer, first.removesuffix(" ")), *lead]
    for number, (count, part) in enumerate(zip(counts, rest, strict=True), 1):
        ids += [tokenizer.mask_token_id] * count
        ids += continuation_ids(tokenizer, part.removesuffix(" ") if number < len(rest) else part)
    return _masked_row(encoder, ids, sum(counts))


def answer_ids(tokenizer: Any, left: str, answer: str) -> tuple[list[int], list[int]]:
    """Return the ids of `answer` after the text `left`, as (ids that stay visible before the masks, ids to mask).

    At the start of a text, or after a space, a SentencePiece tokenizer gives either one piece ("▁東京") or a bare "▁"
    and the word ("▁", "吾輩"). A bare "▁" is no part of the answer, so it stays visible.
    """
    spaced = " " + answer if left.endswith(" ") else answer
    continues = bool(left) and marks_spaces(tokenizer)
    ids = continuation_ids(tokenizer, spaced) if continues else plain_ids(tokenizer, spaced)
    if len(ids) > 1 and tokenizer.convert_ids_to_tokens(ids[0]) in SPACE_MARKS:
        return ids[:1], ids[1:]
    return [], ids


def _masked_row(encoder: Encoder, content: list[int], masks: int) -> MaskedRow:
    """Add the special tokens. Content that is too long is cut to a window of tokens around the masks."""
    prefix, suffix = special_ids(encoder.tokenizer)
    mask = encoder.tokenizer.mask_token_id
    places = [i for i, token in enumerate(content) if token == mask]
    if len(places) != masks:
        raise UserError(
            f"text: {len(places) - masks} masks written as {encoder.tokenizer.mask_token}; expected every blank"
            f" written as {PLACEHOLDER}"
        )
    room = encoder.max_length - len(prefix) - len(suffix)
    if places[-1] - places[0] >= room:
        apart = places[-1] - places[0]
        raise UserError(f"text: blanks {apart} tokens apart; expected less than the {room} that {encoder.name} reads")
    middle = (places[0] + places[-1] + 1) // 2
    start = max(0, min(middle - room // 2, len(content) - room))
    start = min(max(start, places[-1] + 1 - room), places[0])
    window = content[start : start + room]
    ids = (*prefix, *window, *suffix)
    positions = tuple(place - start + len(prefix) for place in places)
    return MaskedRow(ids, positions, truncated=len(content) > room)
