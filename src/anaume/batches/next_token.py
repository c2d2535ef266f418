"""Ids → positions to score and labels of a causal stage: each token is predicted from the tokens before it.

Nothing is masked. The state at position i predicts the token at i + 1; [CLS] predicts the first token of a piece. The
rule is that of masking: special tokens are never predicted, and the selection depends on the batch's own random numbers
only. A stage of this kind before the masked stages is studied in arXiv 2507.00994.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anaume.batches.batch import IGNORE

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class NextToken:
    """The settings of a causal stage: `share` is the fraction of the tokens to predict."""

    share: float = 1.0

    def slots(self, size: int) -> int:
        """Number of scored slots of a row of `size` slots; constant over a stage."""
        return int(self.share * size)


def next_tokens(
    ids: Integers, candidates: Integers, settings: NextToken, random: np.random.Generator
) -> tuple[Integers, Integers]:
    """Select tokens of `ids`, (T,), to predict; return the positions to score and their labels, (slots,) each.

    `candidates` holds the positions of the ordinary tokens, in order; each has a token of its piece before it. Unused
    slots point at position 0 and are labelled IGNORE.
    """
    slots = settings.slots(len(ids))
    count = min(round(settings.share * len(candidates)), slots)
    selected = np.sort(random.choice(candidates, count, replace=False, shuffle=False))
    scored, labels = np.zeros(slots, np.int64), np.full(slots, IGNORE)
    scored[:count], labels[:count] = selected - 1, ids[selected]
    return scored, labels
