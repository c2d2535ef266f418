"""Which tokens are hidden. The paper's rule: 30 % of the tokens; of those 80 % become the mask, 10 % a random token
and 10 % stay (arXiv 2504.15544, section 3.2)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anaume.batches.batch import IGNORE

MASK_SHARE, RANDOM_SHARE = 0.8, 0.1


@dataclass(frozen=True)
class MaskingRule:
    """`ordinary_ids`: what a random replacement is drawn from, so never [CLS], [SEP], padding or the mask."""

    rate: float
    mask_id: int
    ordinary_ids: NDArray[np.int64]


def mask(
    ids: NDArray[np.int64],
    candidates: NDArray[np.int64],
    slots: int,
    rule: MaskingRule,
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Hide tokens of `ids` in place; give the (slots,) positions and labels to score.

    Exactly `rate` of the candidates are chosen, at most `slots`; unused slots point at position 0 and are labelled
    IGNORE.
    """
    count = min(slots, round(rule.rate * len(candidates)))
    chosen = np.sort(random.choice(candidates, count, replace=False, shuffle=False))
    scored, labels = np.zeros(slots, np.int64), np.full(slots, IGNORE)
    scored[:count], labels[:count] = chosen, ids[chosen]
    lot = random.random(count)
    ids[chosen[lot < MASK_SHARE]] = rule.mask_id
    replaced = chosen[(lot >= MASK_SHARE) & (lot < MASK_SHARE + RANDOM_SHARE)]
    ids[replaced] = random.choice(rule.ordinary_ids, len(replaced))
    return scored, labels
