"""What the model is fed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The label of a slot that is not scored (torch's and transformers' convention).
IGNORE = -100


@dataclass(frozen=True)
class PackedBatch:
    """One micro-batch: documents end to end in one row of T slots, each [CLS] … [SEP], the rest padding.

    `input_ids`     (T,) int64, masked
    `position_ids`  (T,) int64, counted from each document's [CLS]
    `lengths`       (segments,) int64, they add up to T; a run of padding is a segment too
    `scored`        (M,) int64 positions to predict, in order; M is the same for every batch of a stage
    `labels`        (M,) int64 the original ids there; IGNORE in unused slots
    `text_lengths`  (pieces,) int64, the segments that are pieces of documents, [CLS] and [SEP] included
    """

    input_ids: NDArray[np.int64]
    position_ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    scored: NDArray[np.int64]
    labels: NDArray[np.int64]
    text_lengths: NDArray[np.int64]

    @property
    def tokens(self) -> int:
        """Slots that hold text, [CLS] or [SEP]."""
        return int(self.text_lengths.sum())

    @property
    def targets(self) -> int:
        """Tokens to predict."""
        return int((self.labels != IGNORE).sum())
