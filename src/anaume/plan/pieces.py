"""The lengths of the pieces that a stage reads, from an assumed mean length of documents or share of padding.

Comes in: a stage, and the mean length of documents (tokens) or the share of padding (0 to 1). Goes out: the lengths of
pieces and how often each occurs. The rule: documents are cut by the function that cuts them in training.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anaume.batches.lengths import bins_of, keep_probabilities
from anaume.batches.packing import cut
from anaume.errors import UserError
from anaume.recipe import Stage

# Number of documents to cut into pieces; fewer if they would make more than _MOST_PIECES pieces.
_SAMPLE = 1 << 16
_MOST_PIECES = 1e7


@dataclass(frozen=True)
class PieceLengths:
    """(n,) `slots` of each piece, [CLS] and [SEP] included, and (n,) `counts`: how often it is read."""

    slots: NDArray[np.int64]
    counts: NDArray[np.float64]

    def padding(self, length: int) -> float:
        """Share of slots without text if each piece has a row of `length` slots."""
        return 1 - float(self.counts @ self.slots) / (length * float(self.counts.sum()))


def piece_lengths(stage: Stage, mean: float) -> PieceLengths:
    """Lengths of the pieces that a stage makes of documents with exponentially distributed lengths.

    `mean` is the mean length of a document in tokens. Pieces are cut where they are full, because the ends of
    sentences, where training prefers to cut, are not known.

    Raises:
        UserError: hardly any document reaches the stage's `min_document_tokens`.
    """
    count = int(min(_SAMPLE, max(100, _MOST_PIECES * stage.length / mean)))
    quantiles = (np.arange(count) + 0.5) / count
    documents = np.ceil(-mean * np.log1p(-quantiles)).astype(np.int64)
    kept = documents[documents >= stage.min_document_tokens]
    if not len(kept):
        raise UserError(
            f"--document-tokens {mean:g}: hardly a document has the {stage.min_document_tokens} tokens that stage"
            f" {stage.name!r} needs (min_document_tokens); expected more tokens"
        )
    slots = cut(kept, stage.length, stage.documents).lengths
    counts = np.ones(len(slots))
    if stage.length_shares:
        counts = keep_probabilities(slots, stage.length_shares)[bins_of(slots)]
    return PieceLengths(slots, counts)


def mean_length_for_padding(stage: Stage, padding: float) -> float:
    """Mean length of documents (tokens) at which rows of one piece have this share of padding, by bisection.

    Raises:
        UserError: no mean length gives this share.
    """
    low, high = 1.0 + stage.min_document_tokens / 8, 1000.0 * stage.length
    most, least = (piece_lengths(stage, mean).padding(stage.length) for mean in (low, high))
    if not least <= max(padding, least) <= most or padding < 0:
        raise UserError(f"--padding {padding:g}: out of range for stage {stage.name!r}; expected 0 to {most:.3f}")
    for _ in range(40):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if piece_lengths(stage, middle).padding(stage.length) > padding else (low, middle)
    return high


def full_rows(stage: Stage) -> PieceLengths:
    """One row in which every slot attends to every slot, padding included."""
    return PieceLengths(np.array([stage.length]), np.ones(1))


def padded_rows(stage: Stage, pieces: PieceLengths) -> PieceLengths:
    """Rows of one piece each, followed by padding that attends to itself only."""
    padding = stage.length - pieces.slots
    padded = padding > 0
    return PieceLengths(
        np.concatenate([pieces.slots, padding[padded]]), np.concatenate([pieces.counts, pieces.counts[padded]])
    )
