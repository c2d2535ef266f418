"""Labelled examples → rows of token ids with their targets."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anaume.finetune import spans
from anaume.finetune.examples import Example, Kind

# Longest row in tokens, as in the paper (section 4.1).
MAX_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids with the special tokens, and token types where the tokenizer gives any."""

    ids: list[int]
    types: list[int] | None


@dataclass(frozen=True, slots=True)
class Item:
    """The unit that the network is trained on.

    `rows`    a single row; for a choice, one row per choice
    `target`  the similarity, or the number of the class or choice; for labels, 1 or 0 for each label; for a span, its
              first and last token in the row; for tokens, the number of each token's label, or `entities.IGNORED`
    """

    rows: tuple[Row, ...]
    target: tuple[float, ...]


@dataclass(frozen=True)
class Encoded:
    """A split as token ids.

    `items`      one per example; for spans and tokens, one per window of a text
    `windows`    the windows of the texts, for spans and tokens only
    `truncated`  number of texts that were cut; for tokens, of those that took several windows
    """

    examples: tuple[Example, ...]
    items: list[Item]
    windows: list[spans.Window]
    truncated: int


def encode(tokenizer: Any, kind: Kind, examples: tuple[Example, ...], max_length: int, *, classes: int = 0) -> Encoded:
    """Turn a split into rows of at most `max_length` ids. Of a pair, the longer text is cut first, as JGLUE does.

    `classes` is the number of labels, for labels only. `entities.encode_entities` encodes texts for tokens.
    """
    if kind == "span":
        windows, truncated = spans.windows(tokenizer, examples, max_length)
        items = [
            Item((Row(w.ids, w.types if _has_types(tokenizer) else None),), w.target(examples[w.example].answers[0]))
            for w in windows
        ]
        return Encoded(examples, items, windows, truncated)
    texts = [example.texts for example in examples]
    if kind == "choice":
        texts = [(question, choice) for question, *choices in texts for choice in choices]
    rows, truncated = _rows(tokenizer, texts, max_length)
    rows_per_item = len(rows) // len(examples)
    groups = (tuple(rows[i : i + rows_per_item]) for i in range(0, len(rows), rows_per_item))
    items = [Item(group, _target(kind, example, classes)) for group, example in zip(groups, examples, strict=True)]
    return Encoded(examples, items, [], truncated)


def _target(kind: Kind, example: Example, classes: int) -> tuple[float, ...]:
    if kind == "labels":
        return tuple(float(number in example.labels) for number in range(classes))
    return (example.label,)


def _has_types(tokenizer: Any) -> bool:
    return "token_type_ids" in tokenizer.model_input_names


def _rows(tokenizer: Any, texts: Sequence[tuple[str, ...]], max_length: int) -> tuple[list[Row], int]:
    """Encode texts or pairs of texts; return the rows and the number of those that were cut."""
    sides = [list(side) for side in zip(*texts, strict=True)]
    encoded = tokenizer(*sides, verbose=False)
    ids: list[list[int]] = encoded["input_ids"]
    types = encoded["token_type_ids"] if _has_types(tokenizer) else [None] * len(ids)
    rows = [Row(*pair) for pair in zip(ids, types, strict=True)]
    too_long = [i for i, row in enumerate(ids) if len(row) > max_length]
    for i in too_long:
        cut = tokenizer(*texts[i], truncation=True, max_length=max_length)
        rows[i] = Row(cut["input_ids"], cut.get("token_type_ids"))
    return rows, len(too_long)
