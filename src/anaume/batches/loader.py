"""Stores → micro-batches, each with the position from which the next ones follow.

The rule it keeps: a batch depends on the plan and its position only, whoever makes it. A position is four integers,
because how many rows a window of documents fills is known once it is packed; resuming packs one window and goes on with
the next row. Ranks, and worker processes within a rank, walk the same rows and read the text of their own ones.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anaume.batches.batch import PackedBatch
from anaume.batches.lengths import BIN_NAMES
from anaume.batches.masking import mask, spans
from anaume.batches.plan import BatchPlan
from anaume.batches.window import pack_window, read_rows, tokens_read
from anaume.batches.words import word_starts
from anaume.errors import UserError


@dataclass(frozen=True)
class Position:
    """Where a stage's reading stands: the next row is row `row` of window `window` of epoch `epoch`.

    `batches`        micro-batches before it, over all ranks
    `source_tokens`  tokens read from each source, [CLS] and [SEP] included; () before the first batch
    `length_tokens`  tokens read in pieces of each length bin (`lengths.BIN_NAMES`)
    """

    epoch: int = 0
    window: int = 0
    row: int = 0
    batches: int = 0
    source_tokens: tuple[int, ...] = ()
    length_tokens: tuple[int, ...] = ()


def position_of(table: dict[str, Any]) -> Position:
    """A position as JSON holds it."""
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Position(**values)


@dataclass(frozen=True)
class Share:
    """Which of the batches that follow a position are made here: one in `ranks`, and of those one in `workers`."""

    rank: int = 0
    ranks: int = 1
    worker: int = 0
    workers: int = 1

    def takes(self, number: int) -> bool:
        """Whether the batch of this number, counted from where reading began, is made here."""
        return number % self.ranks == self.rank and number // self.ranks % self.workers == self.worker


def batches(
    plan: BatchPlan, position: Position = Position(), share: Share = Share()
) -> Iterator[tuple[PackedBatch, Position]]:
    """Endless micro-batches from `position` on, each with the position after it.

    With several ranks the batch of rank r is the r-th of a group, and its position is the one after the whole group:
    all ranks give the same.

    Raises:
        UserError: a whole epoch holds no document of `min_document_tokens`.
    """
    made: list[PackedBatch] = []  # one at most: that of the group being walked
    for number, (batch, after) in enumerate(_walk(plan, position, share)):
        if batch:
            made.append(batch)
        if made and number % share.ranks == share.ranks - 1:
            yield made.pop(), after


def advance(plan: BatchPlan, position: Position, count: int) -> Position:
    """The position `count` batches further on; no text is read."""
    after = islice((after for _, after in _walk(plan, position, Share(rank=-1))), count)
    return deque(after, maxlen=1).pop() if count else position


def _walk(plan: BatchPlan, position: Position, share: Share) -> Iterator[tuple[PackedBatch | None, Position]]:
    """Every batch after `position`, None for those of others, with the position after it."""
    totals = [
        np.array(counts or (0,) * size, np.int64)
        for counts, size in ((position.source_tokens, len(plan.stores)), (position.length_tokens, len(BIN_NAMES)))
    ]
    at, number, empty = position, 0, 0
    while True:
        window = pack_window(plan, at.epoch, at.window)
        empty = 0 if window.rows else empty + 1
        if empty == plan.windows:
            raise UserError(f"min_document_tokens = {plan.min_document_tokens}: no document of the corpus is that long")
        following = (at.epoch, at.window + 1) if at.window + 1 < plan.windows else (at.epoch + 1, 0)
        rows = range(at.row, len(window.rows))
        texts = read_rows(plan, window, [row for row in rows if share.takes(number + row - at.row)])
        counts = [np.cumsum(table[at.row :], axis=0) for table in tokens_read(plan, window)]
        begun, epoch, place = at.batches, at.epoch, at.window
        for offset, row in enumerate(rows):
            random = np.random.default_rng((plan.seed, 2, epoch, place, row))
            batch = _assemble(plan, texts[row], begun + offset, random) if row in texts else None
            read = (tuple((t + c[offset]).tolist()) for t, c in zip(totals, counts, strict=True))
            where = (*following, 0) if row + 1 == len(window.rows) else (epoch, place, row + 1)
            yield batch, Position(*where, begun + offset + 1, *read)
        totals = [t + c[-1] if len(c) else t for t, c in zip(totals, counts, strict=True)]
        number += len(rows)
        at = replace(at, epoch=following[0], window=following[1], row=0, batches=begun + len(rows))


def _assemble(
    plan: BatchPlan, texts: Sequence[NDArray[np.uint32]], number: int, random: np.random.Generator
) -> PackedBatch:
    """Lay one row's pieces end to end and hide tokens; `number` is the batch's in its stage."""
    tokenizer, size = plan.tokenizer, plan.row_tokens
    pieces = np.array([len(text) + 2 for text in texts])
    # Without packing each piece has a slot of the stage's length to itself.
    slots = pieces if plan.packing else np.full(len(pieces), plan.length)
    starts = np.cumsum(slots) - slots
    ends = starts + pieces - 1

    ids = np.full(size, tokenizer.pad_id, np.int64)
    is_text = np.repeat(np.tile([True, False], len(pieces)), np.stack([pieces, slots - pieces], 1).ravel())
    is_text[starts] = is_text[ends] = False
    candidates = np.flatnonzero(is_text)
    ids[candidates] = np.concatenate(texts)
    ids[starts], ids[ends] = tokenizer.cls_id, tokenizer.sep_id

    lengths = _segments(pieces, slots, size, plan.length)
    positions = np.arange(size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    units = _units(plan, texts, random)
    count = round(plan.masking.rate_at(number) * len(candidates))
    scored, labels = mask(ids, candidates, units, count, plan.masking, plan.vocabulary, random)
    return PackedBatch(ids, positions, lengths, scored, labels, pieces)


def _segments(pieces: NDArray[np.int64], slots: NDArray[np.int64], size: int, length: int) -> NDArray[np.int64]:
    """Lengths of all segments of a row. Padding is a segment of its own (at most `length`): nothing attends to it."""
    rest = size - int(slots.sum())
    within = np.stack([pieces, slots - pieces], 1).ravel()
    behind = [length] * (rest // length) + [rest % length]
    lengths = np.concatenate([within, behind])
    return lengths[lengths > 0]


def _units(
    plan: BatchPlan, texts: Sequence[NDArray[np.uint32]], random: np.random.Generator
) -> NDArray[np.bool_] | None:
    """Where the units begin that are hidden as a whole; they don't reach over a piece's border. None: each token."""
    if plan.masking.unit == "token":
        return None
    if plan.masking.unit == "word":
        return np.concatenate([word_starts(text, plan.vocabulary.surfaces) for text in texts])
    lengths = np.array([len(text) for text in texts])
    starts = spans(int(lengths.sum()), plan.masking.span_length, random)
    starts[np.cumsum(lengths) - lengths] = True
    return starts


def validation_batches(plan: BatchPlan, tokens: int) -> list[PackedBatch]:
    """Batches with the same text and the same masks every time: one pass over the corpus, at most `tokens` tokens."""
    kept: list[PackedBatch] = []
    seen = 0
    for batch, after in batches(plan):
        if kept and seen + batch.tokens > tokens:
            break
        kept.append(batch)
        seen += batch.tokens
        if after.epoch:
            break
    return kept
