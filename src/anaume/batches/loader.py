"""A BatchPlan and a Position → micro-batches, each with the position that follows it.

The rule: a batch depends on the plan and its position only, and not on the process that makes it. A position names a
row of a window, because the number of rows of a window is known only once the window is packed. Resuming packs one
window and continues with the next row. All ranks, and all worker processes of a rank, walk the same rows; each reads
only the text of its own rows.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anaume.batches.batch import IGNORE, PackedBatch
from anaume.batches.lengths import BIN_NAMES
from anaume.batches.masking import mask, span_starts
from anaume.batches.next_token import next_tokens
from anaume.batches.plan import BatchPlan
from anaume.batches.window import pack_window, read_rows, tokens_read
from anaume.batches.words import word_starts
from anaume.errors import UserError


@dataclass(frozen=True)
class Position:
    """How far a stage has read its corpus: the next row is row `row` of window `window` of epoch `epoch`.

    `batches`        micro-batches read so far, over all ranks
    `source_tokens`  tokens read from each source, [CLS] and [SEP] included; () before the first batch
    `length_tokens`  tokens read in pieces of each length bin (`lengths.BIN_NAMES`); () before the first batch
    """

    epoch: int = 0
    window: int = 0
    row: int = 0
    batches: int = 0
    source_tokens: tuple[int, ...] = ()
    length_tokens: tuple[int, ...] = ()


def position_of(table: dict[str, Any]) -> Position:
    """The position in a JSON object whose keys are the fields of `Position`."""
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    return Position(**values)


@dataclass(frozen=True)
class Share:
    """The batches of one process: its rank takes every `ranks`-th batch, and the workers of the rank take turns."""

    rank: int = 0
    ranks: int = 1
    worker: int = 0
    workers: int = 1

    def takes(self, number: int) -> bool:
        """Whether this process makes batch `number`, counted from 0 at the position where reading began."""
        return number % self.ranks == self.rank and number // self.ranks % self.workers == self.worker


def batches(
    plan: BatchPlan, position: Position = Position(), share: Share = Share()
) -> Iterator[tuple[PackedBatch, Position]]:
    """Endless micro-batches from `position` on, each with the position after it.

    With several ranks, rank r receives the r-th batch of each group of `share.ranks` batches. The position is the one
    after the whole group, so all ranks receive the same positions.

    Raises:
        UserError: no document of the corpus has `min_document_tokens` tokens.
    """
    pending: list[PackedBatch] = []  # at most one batch: this share's batch of the current group
    for number, (batch, after) in enumerate(_walk(plan, position, share)):
        if batch:
            pending.append(batch)
        if pending and number % share.ranks == share.ranks - 1:
            yield pending.pop(), after


def advance(plan: BatchPlan, position: Position, count: int) -> Position:
    """The position `count` batches after `position`, found without reading text."""
    after = islice((after for _, after in _walk(plan, position, Share(rank=-1))), count)
    return deque(after, maxlen=1).pop() if count else position


def _walk(plan: BatchPlan, position: Position, share: Share) -> Iterator[tuple[PackedBatch | None, Position]]:
    """Every batch after `position` with the position after it; None in place of a batch outside `share`."""
    totals = [
        np.array(counts or (0,) * size, np.int64)
        for counts, size in ((position.source_tokens, len(plan.stores)), (position.length_tokens, len(BIN_NAMES)))
    ]
    start, number, empty_windows = position, 0, 0
    while True:
        window = pack_window(plan, start.epoch, start.window)
        empty_windows = 0 if window.rows else empty_windows + 1
        if empty_windows == plan.windows:
            raise UserError(f"min_document_tokens = {plan.min_document_tokens}: no document of the corpus is that long")
        next_window = (start.epoch, start.window + 1) if start.window + 1 < plan.windows else (start.epoch + 1, 0)
        rows = range(start.row, len(window.rows))
        texts = read_rows(plan, window, [row for row in rows if share.takes(number + row - start.row)])
        counts = [np.cumsum(table[start.row :], axis=0) for table in tokens_read(plan, window)]
        for offset, row in enumerate(rows):
            key = (plan.seed, 2, start.epoch, start.window, row)
            random = np.random.default_rng((*key, plan.draw) if plan.draw else key)
            batch = _assemble(plan, texts[row], start.batches + offset, random) if row in texts else None
            tokens = (tuple((t + c[offset]).tolist()) for t, c in zip(totals, counts, strict=True))
            next_row = (*next_window, 0) if row + 1 == len(window.rows) else (start.epoch, start.window, row + 1)
            yield batch, Position(*next_row, start.batches + offset + 1, *tokens)
        totals = [t + c[-1] if len(c) else t for t, c in zip(totals, counts, strict=True)]
        number += len(rows)
        start = replace(start, epoch=next_window[0], window=next_window[1], row=0, batches=start.batches + len(rows))


def _assemble(
    plan: BatchPlan, texts: Sequence[NDArray[np.uint32]], number: int, random: np.random.Generator
) -> PackedBatch:
    """Lay the pieces of one row end to end and select tokens to predict; `number` counts the stage's batches from 0."""
    tokenizer, size = plan.tokenizer, plan.row_tokens
    pieces = np.array([len(text) + 2 for text in texts])
    # Without packing each piece takes the stage's whole length.
    slots = pieces if plan.packing else np.full(len(pieces), plan.length)
    starts = np.cumsum(slots) - slots
    ends = starts + pieces - 1

    ids = np.full(size, tokenizer.pad_id, np.int64)
    is_text = np.repeat(np.tile([True, False], len(pieces)), np.stack([pieces, slots - pieces], 1).ravel())
    is_text[starts] = is_text[ends] = False
    candidates = np.flatnonzero(is_text)
    ids[candidates] = np.concatenate(texts)
    if ids.max() >= tokenizer.vocab_size:
        raise UserError(
            f"tokens: id {ids.max()}: not in the vocabulary; expected 0 to {tokenizer.vocab_size - 1}; the tokens were"
            " changed since they were written: anaume verify finds the file"
        )
    ids[starts], ids[ends] = tokenizer.cls_id, tokenizer.sep_id

    lengths = _segments(pieces, slots, size, plan.length)
    positions = np.arange(size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    if plan.next_token:
        scored, labels = next_tokens(ids, candidates, plan.next_token, random)
        return PackedBatch(ids, positions, lengths, scored, labels, pieces, causal=True)
    unit_starts = _unit_starts(plan, texts, random)
    if tokenizer.unk_id is not None:  # An unknown word can be shown, but there is nothing to learn from guessing it.
        known = ids[candidates] != tokenizer.unk_id
        candidates, unit_starts = candidates[known], None if unit_starts is None else unit_starts[known]
    count = round(plan.masking.rate_at(number) * len(candidates))
    scored, labels = mask(ids, candidates, unit_starts, count, plan.masking, plan.vocabulary, random)
    return PackedBatch(ids, positions, lengths, scored, labels, pieces)


def _segments(pieces: NDArray[np.int64], slots: NDArray[np.int64], size: int, length: int) -> NDArray[np.int64]:
    """Lengths of all segments of a row. Padding forms segments of its own, of at most `length` slots each."""
    rest = size - int(slots.sum())
    text_and_padding = np.stack([pieces, slots - pieces], 1).ravel()
    final_padding = [length] * (rest // length) + [rest % length]
    lengths = np.concatenate([text_and_padding, final_padding])
    return lengths[lengths > 0]


def _unit_starts(
    plan: BatchPlan, texts: Sequence[NDArray[np.uint32]], random: np.random.Generator
) -> NDArray[np.bool_] | None:
    """Whether a masking unit begins at each token, (tokens,); no unit spans two pieces. None: each token is a unit."""
    if plan.masking.unit == "token":
        return None
    if plan.masking.unit == "word":
        return np.concatenate([word_starts(text, plan.vocabulary.surfaces) for text in texts])
    lengths = np.array([len(text) for text in texts])
    starts = span_starts(int(lengths.sum()), plan.masking.span_length, random)
    starts[np.cumsum(lengths) - lengths] = True
    return starts


def validation_batches(plan: BatchPlan, tokens: int) -> list[PackedBatch]:
    """The first batches of the plan, with `tokens` tokens or those of one pass over the corpus, whichever are fewer.

    The last batch is whole, so that its tokens see their whole piece, but tokens after the last one are not scored.
    Each call returns the same text and the same masks.
    """
    selected: list[PackedBatch] = []
    total = 0
    for batch, after in batches(plan):
        selected.append(batch if total + batch.tokens <= tokens else _first_targets(plan, batch, tokens - total))
        total += batch.tokens
        if after.epoch or total >= tokens:
            break
    return selected


def _first_targets(plan: BatchPlan, batch: PackedBatch, tokens: int) -> PackedBatch:
    """The batch with the targets among its first `tokens` tokens only."""
    token_numbers = np.cumsum(batch.input_ids != plan.tokenizer.pad_id)
    return replace(batch, labels=np.where(token_numbers[batch.scored] <= tokens, batch.labels, IGNORE))
