"""PackedBatch, the micro-batch that training and validation feed to the model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The label of a slot that is not scored, as in torch and transformers.
IGNORE = -100


@dataclass(frozen=True)
class PackedBatch:
    """One micro-batch: pieces of documents end to end in one row of T slots, each [CLS] … [SEP], then padding.

    `input_ids`     (T,) int64, after masking
    `position_ids`  (T,) int64, counted from the [CLS] of each piece
    `lengths`       (segments,) int64 lengths of all segments, with a sum of T; a run of padding is a segment
    `scored`        (M,) int64 positions whose states predict a token, in order; M is constant over a stage
    `labels`        (M,) int64 ids to predict: the original ones at `scored`, or with `causal` those that follow;
                    IGNORE in unused slots
    `text_lengths`  (pieces,) int64 lengths of the pieces, [CLS] and [SEP] included
    `causal`        whether a token attends only to itself and to earlier tokens of its piece
    """

    input_ids: NDArray[np.int64]
    position_ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    scored: NDArray[np.int64]
    labels: NDArray[np.int64]
    text_lengths: NDArray[np.int64]
    causal: bool = False

    @property
    def tokens(self) -> int:
        """Number of slots that hold text, [CLS] or [SEP]."""
        return int(self.text_lengths.sum())

    @property
    def targets(self) -> int:
        """Number of tokens to predict."""
        return int((self.labels != IGNORE).sum())
