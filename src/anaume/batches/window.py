"""One window of an epoch: a BatchPlan and the window's number → its documents as pieces, packed into rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anaume.batches.lengths import BIN_NAMES, bins_of
from anaume.batches.packing import Pieces, cut, pack, rows_without_packing, select, sentence_stops
from anaume.batches.plan import BatchPlan


@dataclass(frozen=True)
class PackedWindow:
    """The documents of a window, cut and packed.

    `pieces`    all pieces; their document numbers index `source` and `document`
    `source`    (documents,) number of the source of each document
    `document`  (documents,) number of each document within its source
    `rows`      numbers of the pieces in each row
    """

    pieces: Pieces
    source: NDArray[np.int64]
    document: NDArray[np.int64]
    rows: list[list[int]]


def pack_window(plan: BatchPlan, epoch: int, number: int) -> PackedWindow:
    """Select, cut and pack the documents of one window of an epoch.

    Pieces are shuffled before packing; otherwise the full-length pieces of a document would fill a row together. Rows
    are shuffled after packing, because packing sorts them by length.
    """
    first = number * plan.window_documents
    source, document = plan.order.at(epoch, first, first + plan.window_documents)
    lengths = plan.lengths_of(source, document)
    long_enough = lengths >= plan.min_document_tokens
    source, document, lengths = source[long_enough], document[long_enough], lengths[long_enough]

    def stops(index: int, capacity: int) -> list[int]:
        ids = plan.stores[source[index]].document(int(document[index]))
        return sentence_stops(ids, capacity, plan.vocabulary.sentence_ends)

    random = np.random.default_rng((plan.seed, 3, epoch, number))
    pieces = cut(lengths, plan.length, plan.documents, stops)
    pieces = select(pieces, random.permutation(len(pieces.document)))
    if plan.kept_shares is not None:
        draw = random.random(len(pieces.document))
        pieces = select(pieces, np.flatnonzero(draw < plan.kept_shares[bins_of(pieces.lengths)]))
    if plan.packing:
        rows = pack(pieces.lengths, plan.row_tokens)
    else:
        rows = rows_without_packing(len(pieces.document), plan.row_tokens // plan.length)
    random.shuffle(rows)
    return PackedWindow(pieces, source, document, rows)


def tokens_read(plan: BatchPlan, window: PackedWindow) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Tokens of each row by source and by length bin, [CLS] and [SEP] included: (rows, sources) and (rows, bins)."""
    row = np.repeat(np.arange(len(window.rows)), [len(pieces) for pieces in window.rows])
    piece = np.array([piece for pieces in window.rows for piece in pieces], np.int64)
    lengths = window.pieces.lengths[piece]
    by_source = np.zeros((len(window.rows), len(plan.stores)), np.int64)
    by_length = np.zeros((len(window.rows), len(BIN_NAMES)), np.int64)
    np.add.at(by_source, (row, window.source[window.pieces.document[piece]]), lengths)
    np.add.at(by_length, (row, bins_of(lengths)), lengths)
    return by_source, by_length


def read_rows(plan: BatchPlan, window: PackedWindow, rows: Sequence[int]) -> dict[int, list[NDArray[np.uint32]]]:
    """The token ids of each piece of these rows, by row number; read in the order of the files on disk."""
    pieces = window.pieces
    texts: dict[int, NDArray[np.uint32]] = {}
    numbers = np.array([piece for row in rows for piece in window.rows[row]], np.int64)
    document = pieces.document[numbers]
    for i in np.lexsort((pieces.start[numbers], window.document[document], window.source[document])):
        piece = numbers[i]
        ids = plan.stores[window.source[document[i]]].document(int(window.document[document[i]]))
        texts[int(piece)] = ids[pieces.start[piece] : pieces.stop[piece]]
    return {row: [texts[piece] for piece in window.rows[row]] for row in rows}
