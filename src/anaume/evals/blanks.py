"""Text with blanks → token ids with masks, so that a model meets what its pretraining showed it.

"[MASK]" marks a blank whatever the model's own mask token is. The trap: a SentencePiece-like tokenizer treats
what follows a mask as a text of its own and puts "▁" before it (吾輩は[MASK]である → … MASK ▁ で ある), while
in pretraining a masked word is followed by the plain continuation. `careful` encodes each side so that no
such "▁" appears; `naive` is what transformers' fill-mask pipeline does. Where a tokenizer has no such habit
both give the same ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from anaume.encoder.load import Encoder
from anaume.encoder.tokenize import special_ids
from anaume.errors import UserError
from anaume.tokenizer.unigram import SPACE

PLACEHOLDER = "[MASK]"
# Something to stand before a continuation while it is encoded, and be cut off again. A private-use character
# is in no vocabulary, so nothing merges with it; the others serve where it would become an unknown token.
SENTINELS = ("\ue000", "。", "、", "の", "ア", "a", "1", "-")


@dataclass(frozen=True)
class Form:
    """A row of ids with special tokens, where its masks are, and whether it was cut to the model's length."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    truncated: bool


def plain_ids(tokenizer: Any, text: str) -> list[int]:
    """Encode a text on its own, without special tokens."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []
    return ids


@lru_cache(maxsize=16)
def marks_spaces(tokenizer: Any) -> bool:
    """Whether the tokenizer writes "▁" for a space, as SentencePiece does: only then can one be too many."""
    return any(SPACE in piece for piece in tokenizer.convert_ids_to_tokens(plain_ids(tokenizer, "あ あ")))


def continuation_ids(tokenizer: Any, text: str) -> list[int]:
    """Encode a text as it is encoded when it continues a word: no imagined space before it.

    It is encoded behind a sentinel whose tokens are cut off. That is exact where the boundary is a clean one:
    the best segmentation of the whole is then that of its two parts.

    Raises:
        UserError: the text merges with every sentinel tried.
    """
    if not text:
        return []
    for sentinel in SENTINELS:
        head = plain_ids(tokenizer, sentinel)
        if tokenizer.unk_token_id in head or tokenizer.convert_ids_to_tokens(head) in ([], [SPACE]):
            continue  # an unknown token may swallow an unknown neighbour; a character may be normalised away
        ids = plain_ids(tokenizer, sentinel + text)
        if ids[: len(head)] == head:
            return ids[len(head) :]
    raise UserError(
        f"{tokenizer.name_or_path}: can't encode {text!r} as the continuation of a blank;"
        f" it merges with each of {' '.join(SENTINELS[1:])}"
    )


def naive(encoder: Encoder, text: str, counts: Sequence[int]) -> Form:
    """Encode `text` as transformers' pipeline does, the i-th placeholder standing for `counts[i]` masks."""
    first, *rest = text.split(PLACEHOLDER)
    marked = first + "".join(
        encoder.tokenizer.mask_token * count + part for count, part in zip(counts, rest, strict=True)
    )
    return _form(encoder, plain_ids(encoder.tokenizer, marked), sum(counts))


def careful(encoder: Encoder, text: str, counts: Sequence[int], lead: Sequence[int] = ()) -> Form:
    """Encode `text` with `counts[i]` masks for the i-th placeholder, and no "▁" that the text does not have.

    A space before a blank belongs to the word in it ("is [MASK]" hides "▁Paris"), so it is dropped; `lead`
    are ids to keep before the first mask, see `answer_ids`.
    """
    tokenizer = encoder.tokenizer
    if not marks_spaces(tokenizer):
        return naive(encoder, text, counts)
    first, *rest = text.split(PLACEHOLDER)
    ids = [*plain_ids(tokenizer, first.removesuffix(" ")), *lead]
    for number, (count, part) in enumerate(zip(counts, rest, strict=True), 1):
        ids += [tokenizer.mask_token_id] * count
        ids += continuation_ids(tokenizer, part.removesuffix(" ") if number < len(rest) else part)
    return _form(encoder, ids, sum(counts))


def answer_ids(tokenizer: Any, left: str, answer: str) -> tuple[list[int], list[int]]:
    """Return the ids of `answer` behind `left`, as (ids to leave visible before the masks, ids to mask).

    At the start of a text, or after a space, a SentencePiece tokenizer gives either one piece ("▁東京") or a
    bare "▁" and the word ("▁", "吾輩"). A bare "▁" is no part of the answer: it stays visible.
    """
    spaced = " " + answer if left.endswith(" ") else answer
    continues = bool(left) and marks_spaces(tokenizer)
    ids = continuation_ids(tokenizer, spaced) if continues else plain_ids(tokenizer, spaced)
    if len(ids) > 1 and tokenizer.convert_ids_to_tokens(ids[0]) == SPACE:
        return ids[:1], ids[1:]
    return [], ids


def _form(encoder: Encoder, content: list[int], masks: int) -> Form:
    """Add the special tokens; cut what is too long to the window of tokens around the masks."""
    prefix, suffix = special_ids(encoder.tokenizer)
    mask = encoder.tokenizer.mask_token_id
    places = [i for i, token in enumerate(content) if token == mask]
    if len(places) != masks:
        raise UserError(
            f"text has {len(places) - masks} masks written as {encoder.tokenizer.mask_token}; "
            f"write every blank as {PLACEHOLDER}"
        )
    room = encoder.max_length - len(prefix) - len(suffix)
    if places[-1] - places[0] >= room:
        raise UserError(f"blanks lie {places[-1] - places[0]} tokens apart, {encoder.name} reads {room} at once")
    middle = (places[0] + places[-1] + 1) // 2
    start = max(0, min(middle - room // 2, len(content) - room))
    start = min(max(start, places[-1] + 1 - room), places[0])
    window = content[start : start + room]
    ids = (*prefix, *window, *suffix)
    positions = tuple(place - start + len(prefix) for place in places)
    return Form(ids, positions, truncated=len(content) > room)
