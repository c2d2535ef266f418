"""Stores → micro-batches, each with the position from which the next one follows.

The rule it keeps: a batch depends on the plan and its position only. A position is three integers, because how many
rows a window of documents fills is known once it is packed; resuming packs one window and goes on with the next row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anaume.batches.batch import PackedBatch
from anaume.batches.masking import MaskingRule, mask
from anaume.batches.order import Order
from anaume.batches.packing import Pieces, cut, one_a_slot, pack, shuffled
from anaume.errors import UserError
from anaume.tokens.store import Store
from anaume.tokens.tokenizer import Tokenizer

# Rows a window should fill: enough for tight packing, few enough to pack in a moment.
WINDOW_ROWS = 256


@dataclass(frozen=True)
class Position:
    """Where a stage's reading stands: the next row is row `row` of window `window` of epoch `epoch`."""

    epoch: int = 0
    window: int = 0
    row: int = 0


@dataclass(frozen=True)
class Plan:
    """All that batches depend on: the stores, their weights, the seed and the stage's settings."""

    stores: Sequence[Store]
    weights: tuple[float, ...]
    tokenizer: Tokenizer
    seed: int
    length: int
    row_tokens: int
    mask_rate: float
    documents: Literal["split", "truncate"] = "split"
    packing: bool = True
    min_document_tokens: int = 0

    @property
    def order(self) -> Order:
        """The order of the documents."""
        return Order(self.seed, tuple(len(store) for store in self.stores), self.weights)

    @property
    def window_documents(self) -> int:
        """Documents a window: a function of the corpus's mean length, so that a window fills about WINDOW_ROWS rows."""
        visits = self.order.visits
        tokens = sum(v * store.tokens / len(store) for v, store in zip(visits, self.stores, strict=True))
        mean = max(1.0, tokens / sum(visits))
        if self.documents == "truncate" or not self.packing:
            mean = min(mean, self.length)
        return max(1, round(WINDOW_ROWS * self.row_tokens / mean))

    @property
    def masking(self) -> MaskingRule:
        """The stage's rule for hiding tokens."""
        ordinary = np.setdiff1d(np.arange(self.tokenizer.vocab_size), np.array(sorted(self.tokenizer.special_ids)))
        return MaskingRule(self.mask_rate, self.tokenizer.mask_id, ordinary)


@dataclass(frozen=True)
class Window:
    """A packed window: its pieces and, in a shuffled order, its rows."""

    pieces: Pieces
    source: NDArray[np.int64]
    document: NDArray[np.int64]
    rows: list[list[int]]


def batches(plan: Plan, position: Position = Position()) -> Iterator[tuple[PackedBatch, Position]]:
    """Endless micro-batches from `position` on, each with the position after it.

    Raises:
        UserError: a whole epoch holds no document of `min_document_tokens`.
    """
    masking, windows = plan.masking, -(-plan.order.epoch_size // plan.window_documents)
    epoch, window, row = position.epoch, position.window, position.row
    empty = 0
    while True:
        packed = pack_window(plan, epoch, window)
        empty = 0 if packed.rows else empty + 1
        if empty == windows:
            raise UserError(f"min_document_tokens = {plan.min_document_tokens}: no document of the corpus is that long")
        after = (epoch, window + 1) if window + 1 < windows else (epoch + 1, 0)
        for number in range(row, len(packed.rows)):
            random = np.random.default_rng((plan.seed, 2, epoch, window, number))
            is_last = number + 1 == len(packed.rows)
            batch = assemble(plan, packed, packed.rows[number], masking, random)
            yield batch, Position(*after, 0) if is_last else Position(epoch, window, number + 1)
        (epoch, window), row = after, 0


def pack_window(plan: Plan, epoch: int, window: int) -> Window:
    """Choose, cut and pack one window of an epoch.

    Pieces are shuffled before they are packed, or the many of full length would lie document by document, a row of one
    kind of text; rows are shuffled after it, for packing sorts them by length.
    """
    first = window * plan.window_documents
    source, document = plan.order.at(epoch, first, first + plan.window_documents)
    lengths = np.empty(len(source), np.int64)
    for number, store in enumerate(plan.stores):
        here = source == number
        lengths[here] = store.lengths(document[here])
    kept = lengths >= plan.min_document_tokens
    source, document, lengths = source[kept], document[kept], lengths[kept]
    random = np.random.default_rng((plan.seed, 3, epoch, window))
    pieces = shuffled(cut(lengths, plan.length, plan.documents), random)
    if plan.packing:
        rows = pack(pieces.lengths, plan.row_tokens)
    else:
        rows = one_a_slot(len(pieces.document), plan.row_tokens // plan.length)
    random.shuffle(rows)
    return Window(pieces, source, document, rows)


def assemble(
    plan: Plan, window: Window, row: list[int], masking: MaskingRule, random: np.random.Generator
) -> PackedBatch:
    """Read one row's pieces and hide tokens."""
    tokenizer, size = plan.tokenizer, plan.row_tokens
    ids = np.full(size, tokenizer.pad_id, np.int64)
    positions = np.zeros(size, np.int64)
    is_text = np.zeros(size, bool)
    segments: list[int] = []
    texts: list[int] = []
    at = 0
    for piece in row:
        text = _text(plan, window, piece)
        end = at + len(text) + 2
        ids[at], ids[at + 1 : end - 1], ids[end - 1] = tokenizer.cls_id, text, tokenizer.sep_id
        positions[at:end] = np.arange(end - at)
        is_text[at + 1 : end - 1] = True
        segments.append(end - at)
        texts.append(end - at)
        at = end
        if not plan.packing:
            at += _pad(segments, positions, at, -(end % -plan.length))
    while at < size:
        at += _pad(segments, positions, at, min(plan.length, size - at))
    slots = int(plan.mask_rate * size)
    scored, labels = mask(ids, np.flatnonzero(is_text), slots, masking, random)
    return PackedBatch(ids, positions, np.array(segments), scored, labels, np.array(texts))


def _text(plan: Plan, window: Window, piece: int) -> NDArray[np.uint32]:
    document = window.pieces.document[piece]
    ids = plan.stores[window.source[document]].document(int(window.document[document]))
    text: NDArray[np.uint32] = ids[window.pieces.start[piece] : window.pieces.stop[piece]]
    return text


def _pad(segments: list[int], positions: NDArray[np.int64], at: int, count: int) -> int:
    """A run of padding is a segment of its own: nothing attends to it."""
    if count:
        segments.append(count)
        positions[at : at + count] = np.arange(count)
    return count


def fixed(plan: Plan, tokens: int) -> list[PackedBatch]:
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
