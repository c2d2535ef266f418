"""Extractive question answering: questions and contexts → windows of ids; logits of windows → answers.

A window is [CLS] question [SEP] part of the context [SEP]. The rule: each token of the context keeps the range of
characters that it stands for, so every answer is a substring of the context.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anaume.finetune.examples import Answer, Example

# Tokens of the context that two neighbouring windows share, and tokens of the longest answer: run_squad.py's defaults.
STRIDE = 128
MAX_ANSWER = 30

# For each token, its characters [start, stop) in the text.
Characters = list[tuple[int, int]]


@dataclass(frozen=True)
class Window:
    """One row of ids: a question and a part of its context.

    `example`     index of the question
    `ids`         token ids, special ones included; `types` are their token types
    `first`       position in the row of the context's first token
    `characters`  for each token of the context in this window, its characters [start, stop) in the whole context
    `begin`       index of this window's first token among all tokens of the context
    """

    example: int
    ids: list[int]
    types: list[int]
    first: int
    characters: Characters
    begin: int = 0

    def target(self, answer: Answer) -> tuple[int, int]:
        """Return the positions of the answer's first and last token; (0, 0), the [CLS], if the window cuts it."""
        stop = answer.start + len(answer.text)
        inside = [i for i, (low, high) in enumerate(self.characters) if low < stop and high > answer.start]
        if not inside or self.characters[0][0] > answer.start or self.characters[-1][1] < stop:
            return 0, 0
        return self.first + inside[0], self.first + inside[-1]


def windows(tokenizer: Any, examples: Sequence[Example], max_length: int) -> tuple[list[Window], int]:
    """Cut contexts into windows of at most `max_length` tokens, and return them with the number of truncated questions.

    Neighbouring windows share STRIDE tokens of the context, or half of what fits if that is less. A question keeps at
    most half of a window.
    """
    (head, middle, tail), (type_a, type_b) = _template(tokenizer)
    contexts = list(dict.fromkeys(example.texts[1] for example in examples))
    encoded = dict(zip(contexts, encode_with_characters(tokenizer, contexts), strict=True))
    questions = tokenizer([example.texts[0] for example in examples], add_special_tokens=False, verbose=False)
    rows: list[Window] = []
    truncated = 0
    for number, (example, question) in enumerate(zip(examples, questions["input_ids"], strict=True)):
        limit = max_length // 2
        truncated += len(question) > limit
        start = [*head, *question[:limit], *middle]
        ids, characters = encoded[example.texts[1]]
        room = max_length - len(start) - len(tail)
        for begin in starts_of_windows(len(ids), room):
            part = ids[begin : begin + room]
            types = [type_a] * len(start) + [type_b] * (len(part) + len(tail))
            of_part = characters[begin : begin + len(part)]
            rows.append(Window(number, [*start, *part, *tail], types, len(start), of_part, begin))
    return rows, truncated


def starts_of_windows(tokens: int, room: int) -> range:
    """Return the first token of each window on a text of `tokens` tokens, of which a window holds `room`.

    Neighbouring windows share STRIDE tokens, or half of what fits if that is less.
    """
    step = room - min(STRIDE, room // 2)
    return range(0, max(1, tokens - room + step), step)


def best_answers(
    rows: Sequence[Window], logits: Sequence[NDArray[np.float32]], examples: Sequence[Example]
) -> list[str]:
    """Return the answer to each question with the highest sum of start and end logits, over all of its windows.

    `logits` are (tokens, 2) for each window. An answer has at most MAX_ANSWER tokens.
    """
    best = [-np.inf] * len(examples)
    texts = [""] * len(examples)
    for window, scores in zip(rows, logits, strict=True):
        stop = window.first + len(window.characters)
        start, end = scores[window.first : stop].astype(np.float64).T
        sums = start[:, None] + end[None, :]
        sums[np.tril_indices(len(start), -1)] = sums[np.triu_indices(len(start), MAX_ANSWER)] = -np.inf
        first, last = np.unravel_index(sums.argmax(), sums.shape)
        if sums[first, last] > best[window.example]:
            best[window.example] = sums[first, last]
            low, high = window.characters[first][0], window.characters[last][1]
            texts[window.example] = examples[window.example].texts[1][low:high].strip()
    return texts


def _template(tokenizer: Any) -> tuple[tuple[list[int], list[int], list[int]], tuple[int, int]]:
    """Return the special ids before, between and after a pair of texts, and the token types of its two sides."""
    texts = "あ a", "い b"
    a, b = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
    pair = tokenizer(*texts)
    ids: list[int] = pair["input_ids"]
    types = pair.get("token_type_ids", [0] * len(ids))
    first = next(i for i in range(len(ids)) if ids[i : i + len(a)] == a)
    second = next(i for i in range(first + len(a), len(ids)) if ids[i : i + len(b)] == b)
    specials = ids[:first], ids[first + len(a) : second], ids[second + len(b) :]
    return specials, (types[first], types[second])


def encode_with_characters(tokenizer: Any, texts: list[str]) -> list[tuple[list[int], Characters]]:
    """Return the ids of each text and the characters that each id stands for."""
    if tokenizer.is_fast:
        encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return list(zip(encoded["input_ids"], encoded["offset_mapping"], strict=True))
    tokens = [tokenizer.tokenize(text) for text in texts]
    return [(tokenizer.convert_tokens_to_ids(row), align(row, text)) for row, text in zip(tokens, texts, strict=True)]


def align(tokens: Sequence[str], text: str) -> Characters:
    """Return each token's characters in the text, for a tokenizer without offsets (BERT's with MeCab).

    Tokens and text are compared in NFKC form and lower case, as such tokenizers normalise. A token must directly follow
    the one before it. One that does not (an unknown word) gets all characters up to the next token that is found.
    """
    origin = [i for i, character in enumerate(text) for _ in _folded(character)]  # index in `folded` → index in `text`
    folded = "".join(_folded(character) for character in text)
    spans: list[tuple[int, int]] = []  # in `folded`; an unknown end is −1
    place, lost = 0, False
    for token in tokens:
        surface = _folded(token).removeprefix("##")
        start = folded.find(surface, place) if surface else -1
        lost = start < 0 or (not lost and bool(folded[place:start].strip()))
        spans.append((place, -1) if lost else (start, start + len(surface)))
        place = spans[-1][0] if lost else spans[-1][1]
    origin.append(len(text))
    next_start = len(folded)
    backwards: Characters = []
    for low, end in reversed(spans):
        high = next_start if end < 0 else end
        next_start = next_start if end < 0 else low
        backwards.append((origin[low], origin[high - 1] + 1 if high > low else origin[low]))
    return backwards[::-1]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).lower()
