"""Entities: texts with marked characters → windows of ids with a label for each token; predicted labels → characters.

The labels are B-TYPE for the first token of an entity, I-TYPE for its other tokens, and O. They are made from
characters, never from words. The rule: predictions are read as transformers' pipeline reads them (the aggregation
strategy "simple"), so scores are those of what a user gets. A text that is longer than a row is cut into windows.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anaume.encoder.load import special_ids
from anaume.finetune.examples import Entity, Example
from anaume.finetune.items import Encoded, Item, Row
from anaume.finetune.spans import Characters, Window, encode_with_characters, starts_of_windows

OUTSIDE = "O"
# The label of special tokens, which no loss counts; PyTorch's and transformers' convention.
IGNORED = -100.0


def label_names(types: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of tokens in the order of their numbers: O, then B-TYPE and I-TYPE of each type."""
    return (OUTSIDE, *(f"{prefix}-{name}" for name in types for prefix in "BI"))


def encode_entities(tokenizer: Any, examples: Sequence[Example], types: Sequence[str], max_length: int) -> Encoded:
    """Turn texts into rows of at most `max_length` ids, each with the labels of its tokens as target.

    `Encoded.truncated` is the number of texts that took several windows. A type that `types` lacks has the label O.
    """
    prefix, suffix = special_ids(tokenizer)
    room = max_length - len(prefix) - len(suffix)
    types_given = "token_type_ids" in tokenizer.model_input_names
    windows, items, cut = [], [], 0
    for number, (ids, characters) in enumerate(
        encode_with_characters(tokenizer, [example.texts[0] for example in examples])
    ):
        labels = token_labels(characters, examples[number].entities, types)
        cut += len(ids) > room
        for begin in starts_of_windows(len(ids), room):
            part = slice(begin, begin + room)
            row = [*prefix, *ids[part], *suffix]
            windows.append(Window(number, row, [0] * len(row), len(prefix), list(characters[part]), begin))
            target = (*[IGNORED] * len(prefix), *map(float, labels[part]), *[IGNORED] * len(suffix))
            items.append(Item((Row(row, [0] * len(row) if types_given else None),), target))
    return Encoded(tuple(examples), items, windows, cut)


def token_labels(characters: Characters, entities: Sequence[Entity], types: Sequence[str]) -> list[int]:
    """Return the number of each token's label.

    A token belongs to the entity that has most of its characters, if any has at least half of them. Several tokens may
    stand for one character (its bytes): the first of them begins the entity.
    """
    numbers = {name: 1 + 2 * i for i, name in enumerate(types)}
    labels, current = [], None
    for low, high in characters:
        high = max(high, low + 1)  # "▁" alone may stand for no character: it counts as the next one
        shares = [(min(high, e.end) - max(low, e.start), -i) for i, e in enumerate(entities) if e.type in numbers]
        share, index = max(shares, default=(0, 0))
        if 2 * share < high - low:
            labels.append(0)
            current = None
        else:
            entity = entities[-index]
            labels.append(numbers[entity.type] + (entity is current))
            current = entity
    return labels


def decode(labels: Sequence[int], characters: Characters, types: Sequence[str]) -> tuple[Entity, ...]:
    """Return the entities that a text's labels spell.

    Neighbouring tokens of one type form an entity, and B-TYPE always begins another one.
    """
    entities: list[Entity] = []
    last = -1  # index of the type of the token before, −1 for none
    for label, (low, high) in zip(labels, characters, strict=True):
        number = (label - 1) // 2 if label else -1
        if number >= 0:
            continued = number == last and label == 2 * number + 2
            start = entities.pop().start if continued else low
            entities.append(Entity(start, high, types[number]))
        last = number
    return tuple(entities)


def predicted_entities(
    encoded: Encoded, logits: Sequence[NDArray[np.float32]], types: Sequence[str]
) -> list[tuple[Entity, ...]]:
    """Return the entities of each text; `logits` are (tokens, labels) of each window.

    A token that several windows hold gets its label from the window in which it stands farthest from the cuts.
    """
    labels = [window_logits.argmax(axis=1).tolist() for window_logits in logits]
    return [decode(*merged, types) for merged in _merged(encoded.windows, labels)]


def ceiling(encoded: Encoded, types: Sequence[str]) -> tuple[float, dict[str, float]]:
    """Return the share of the entities that a perfect tagger returns exactly, overall and by type.

    A share of no entities is 1.
    """
    targets = [[int(max(label, 0)) for label in item.target] for item in encoded.items]
    returned = [set(decode(*merged, types)) for merged in _merged(encoded.windows, targets)]
    exact = [
        (entity.type, entity in found)
        for example, found in zip(encoded.examples, returned, strict=True)
        for entity in example.entities
    ]

    def share(hits: list[bool]) -> float:
        return sum(hits) / len(hits) if hits else 1.0

    return share([hit for _, hit in exact]), {
        name: share([hit for kind, hit in exact if kind == name]) for name in types
    }


def _merged(windows: Sequence[Window], labels: Sequence[list[int]]) -> Iterator[tuple[list[int], Characters]]:
    """Yield the labels of each text's tokens and the tokens' characters, from the labels of whole rows."""
    pairs = zip(windows, labels, strict=True)
    for _, group in groupby(pairs, key=lambda pair: pair[0].example):
        merged: list[int] = []
        characters: Characters = []
        for window, row_labels in group:
            of_window = row_labels[window.first : window.first + len(window.characters)]
            shared = len(merged) - window.begin
            kept = window.begin + (shared + 1) // 2  # the first half of the shared tokens stays with the window before
            merged[kept:] = of_window[kept - window.begin :]
            characters[kept:] = window.characters[kept - window.begin :]
        yield merged, characters
