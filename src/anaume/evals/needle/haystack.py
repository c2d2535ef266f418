"""Texts → haystacks: whole sentences of other documents, among which needles are put at given depths.

The rule: a haystack of a length is the beginning of the same haystack at every greater length, and needles at another
depth change nothing else. Scores over lengths and depths therefore differ by length and depth alone.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np

from anaume.errors import UserError
from anaume.evals.blanks import continuation_ids, marks_spaces, plain_ids
from anaume.evals.inputs.reservoir import Reservoir
from anaume.evals.needle.facts import keys_pattern

SENTENCE = re.compile(r"[^。！？\n]{8,100}[。！？]+[」』）]*")
DOCUMENT_CHARACTERS = 4_096  # of one document, so that no long document fills a whole haystack
DOCUMENTS_EACH = 64  # documents drawn for each haystack
CHARACTERS_PER_TOKEN = 4  # more than any tokenizer reaches on Japanese

T = TypeVar("T")


def draw_fillers(texts: Iterable[str], count: int, longest: int, seed: int) -> list[list[str]]:
    """Draw the sentences of `count` haystacks from the texts, enough for `longest` tokens in each haystack.

    A haystack takes its own share of the drawn documents first, and then those of the other haystacks. It is shorter
    if the texts do not suffice.
    """
    documents = Reservoir[list[str]](np.random.default_rng((seed, 0)), DOCUMENTS_EACH * count)
    for text in texts:
        if sentences := _sentences(text[:DOCUMENT_CHARACTERS]):
            documents.offer(sentences)
    kept = documents.kept
    fillers = []
    for first in range(count):
        order = [number for start in range(first, first + count) for number in range(start % count, len(kept), count)]
        filler: list[str] = []
        characters = 0
        for number in order:
            if characters >= CHARACTERS_PER_TOKEN * longest:
                break
            filler += kept[number]
            characters += sum(map(len, kept[number]))
        fillers.append(filler)
    return fillers


def _sentences(text: str) -> list[str]:
    sentences = (match.group().strip() for match in SENTENCE.finditer(text))
    return [sentence for sentence in sentences if not keys_pattern().search(sentence)]


def costs(tokenizer: Any, sentences: Sequence[str]) -> list[int]:
    """Return the tokens of each sentence inside a text."""
    encode = continuation_ids if marks_spaces(tokenizer) else plain_ids
    return [len(encode(tokenizer, sentence)) for sentence in sentences]


def bury(sentences: Sequence[str], tokens: Sequence[int], needles: Mapping[float, str]) -> str:
    """Join the sentences with each needle at the sentence's end that is nearest to its depth.

    `tokens` are those of each sentence. Depth 0 is before the first sentence, depth 1 behind the last one.
    """
    ends = [0, *accumulate(tokens)]
    pieces = list(sentences)
    for depth in sorted(needles, reverse=True):  # from the back, so that places before it stay as they are
        target = depth * ends[-1]
        place = min(range(len(ends)), key=lambda end: abs(ends[end] - target))
        pieces.insert(place, needles[depth])
    return "".join(pieces)


def longest_that_fits(tokens: Sequence[int], room: int, encode: Callable[[int], T | None], place: str) -> T:
    """Return what `encode` gives for the largest number of sentences that fits.

    `tokens` are those of each sentence, `room` is an estimate in tokens. `encode(count)` is None if the first `count`
    sentences are too long after all.

    Raises:
        UserError: there are too few sentences to fill the room, or none fits.
    """
    ends = list(accumulate(tokens))
    if not ends or ends[-1] < room:
        raise UserError(
            f"{place}: {ends[-1] if ends else 0:,} tokens in whole sentences; expected {room:,} or more for a document"
        )
    for count in range(bisect_right(ends, room), 0, -1):
        if (encoded := encode(count)) is not None:
            return encoded
    raise UserError(f"{place}: no sentence fits; expected sentences shorter than {room} tokens")
