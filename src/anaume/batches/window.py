"""One window of an epoch: its documents cut into pieces, and these packed into rows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anaume.batches.lengths import BIN_NAMES, bins_of
from anaume.batches.packing import Pieces, chosen, cut, one_a_slot, pack, sentence_stops
from anaume.batches.plan import BatchPlan


@dataclass(frozen=True)
class Window:
    """`source[d]` and `document[d]` say where the d-th document of the window lies; `rows` hold numbers of pieces."""

    pieces: Pieces
    source: NDArray[np.int64]
    document: NDArray[np.int64]
    rows: list[list[int]]


def pack_window(plan: BatchPlan, epoch: int, number: int) -> Window:
    """Choose, cut and pack one window of an epoch.

    Pieces are shuffled before they are packed, or the many of full length would lie document by document, a row of one
    kind of text; rows are shuffled after it, for packing sorts them by length.
    """
    first = number * plan.window_documents
    source, document = plan.order.at(epoch, first, first + plan.window_documents)
    lengths = plan.lengths_of(source, document)
    kept = lengths >= plan.min_document_tokens
    source, document, lengths = source[kept], document[kept], lengths[kept]

    def stops(index: int, capacity: int) -> list[int]:
        ids = plan.stores[source[index]].document(int(document[index]))
        return sentence_stops(ids, capacity, plan.vocabulary.ends_sentence)

    random = np.random.default_rng((plan.seed, 3, epoch, number))
    pieces = cut(lengths, plan.length, plan.documents, stops)
    pieces = chosen(pieces, random.permutation(len(pieces.document)))
    if plan.kept_shares is not None:
        lot = random.random(len(pieces.document))
        pieces = chosen(pieces, np.flatnonzero(lot < plan.kept_shares[bins_of(pieces.lengths)]))
    if plan.packing:
        rows = pack(pieces.lengths, plan.row_tokens)
    else:
        rows = one_a_slot(len(pieces.document), plan.row_tokens // plan.length)
    random.shuffle(rows)
    return Window(pieces, source, document, rows)


def tokens_read(plan: BatchPlan, window: Window) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(rows, sources) and (rows, length bins) tokens in each row, [CLS] and [SEP] included."""
    row = np.repeat(np.arange(len(window.rows)), [len(pieces) for pieces in window.rows])
    piece = np.array([piece for pieces in window.rows for piece in pieces], np.int64)
    lengths = window.pieces.lengths[piece]
    by_source = np.zeros((len(window.rows), len(plan.stores)), np.int64)
    by_length = np.zeros((len(window.rows), len(BIN_NAMES)), np.int64)
    np.add.at(by_source, (row, window.source[window.pieces.document[piece]]), lengths)
    np.add.at(by_length, (row, bins_of(lengths)), lengths)
    return by_source, by_length


def read_rows(plan: BatchPlan, window: Window, rows: Sequence[int]) -> dict[int, list[NDArray[np.uint32]]]:
    """The text of these rows, piece by piece, read in the order in which it lies on the disk."""
    pieces = window.pieces
    texts: dict[int, NDArray[np.uint32]] = {}
    wanted = np.array([piece for row in rows for piece in window.rows[row]], np.int64)
    document = pieces.document[wanted]
    for i in np.lexsort((pieces.start[wanted], window.document[document], window.source[document])):
        piece = wanted[i]
        ids = plan.stores[window.source[document[i]]].document(int(window.document[document[i]]))
        texts[int(piece)] = ids[pieces.start[piece] : pieces.stop[piece]]
    return {row: [texts[piece] for piece in window.rows[row]] for row in rows}
