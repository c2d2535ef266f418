"""Texts → the sequences of a tokenizer's ids that a new piece may join, with the number of times each occurs.

A sequence lies within one run or word (see runs.py) and within one unit of the tokenizer's own pre-tokenizer, because
no model joins pieces across those. Ids that a new piece can't contain end a sequence: special and added tokens, and
digits, which `train` keeps separate too. A character that the tokenizer does not know stands in a sequence as a
negative number, `character_id`.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from tokenizers import Encoding, Tokenizer

from anaume.tokenizer.runs import spans

Sequence = tuple[int, ...]

BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")
# Documents that are encoded at a time; each of them is held with the place of every token.
_BATCH = 16


def count_sequences(
    texts: Iterable[str], fast: Tokenizer, unknown: Collection[int], respect: bool
) -> Counter[Sequence]:
    """Count the sequences of ids in `texts`, those of one id too.

    `fast` is modified. `unknown`: ids that stand for characters which the tokenizer does not know, and which a new
    piece may contain. `respect`: spaces separate words.
    """
    fast.no_truncation()
    fast.no_padding()
    joinable = _joinable_ids(fast)
    counts: Counter[Sequence] = Counter()
    for batch in batched(texts):
        for text, encoding in zip(batch, fast.encode_batch(batch, add_special_tokens=False), strict=True):
            counts.update(_sequences(text, encoding, joinable, unknown, respect))
    return counts


def character_id(character: str) -> int:
    """Return the negative number that stands for an unknown character."""
    return -ord(character)


def character_of(index: int) -> str:
    """Return the unknown character for which a negative number stands."""
    return chr(-index)


def batched(texts: Iterable[str]) -> Iterator[list[str]]:
    """Group texts into small batches."""
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _joinable_ids(fast: Tokenizer) -> set[int]:
    added = fast.get_added_tokens_decoder()
    return {
        index
        for piece, index in fast.get_vocab(with_added_tokens=False).items()
        if index not in added
        and not BYTE_PIECE.fullmatch(piece)
        and not any(character.isdecimal() for character in piece)
    }


def _sequences(
    text: str, encoding: Encoding, joinable: set[int], unknown: Collection[int], respect: bool
) -> Iterator[Sequence]:
    """Yield the sequences of one text."""
    runs = spans(text, respect)
    current: list[int] = []
    unit: tuple[int, int | None] = (-1, None)
    run, last = 0, len(runs) - 1
    for index, begin, end, word in _units(text, encoding, unknown):
        while run < last and runs[run][1] <= begin:
            run += 1
        inside = (index < 0 or index in joinable) and run <= last and runs[run][0] <= begin < end <= runs[run][1]
        # Without spaces between words, only the first token of a document may begin with SentencePiece's "▁".
        inside &= respect or begin > 0
        if current and not (inside and (run, word) == unit):
            yield tuple(current)
            current = []
        if inside:
            current.append(index)
        unit = (run, word)
    if current:
        yield tuple(current)


def _units(text: str, encoding: Encoding, unknown: Collection[int]) -> Iterator[tuple[int, int, int, int | None]]:
    """Yield each id, or unknown character but no digit, with its begin, its end and its pre-tokenizer's unit.

    Several tokens may stand for one unknown character, its bytes, and one token for several unknown characters.
    """
    spelled = (0, 0)
    for index, place, word in zip(encoding.ids, encoding.offsets, encoding.word_ids, strict=True):
        if index not in unknown:
            yield index, *place, word
        elif place != spelled:
            spelled = place
            for begin in range(*place):
                if not text[begin].isdecimal():
                    yield character_id(text[begin]), begin, begin + 1, word
