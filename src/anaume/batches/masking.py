"""Ids → masked ids, positions to score and labels. The defaults are the paper's (arXiv 2504.15544, section 3.2).

30 % of the tokens are selected; of those, 80 % become [MASK], 10 % a random token, and 10 % keep their token. Options:
whole words (Cui et al., arXiv 1906.08101), spans (SpanBERT, arXiv 1907.10529), and a rate that changes over the stage
(mmBERT, arXiv 2509.06888). The rule: the selection depends on the batch's own random numbers only.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from anaume.batches.batch import IGNORE
from anaume.tokenizer.vocabulary import Vocabulary

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Masking:
    """The masking settings of a stage; the defaults are the paper's.

    `rate`          fraction of the tokens that are selected; it changes linearly to `final_rate` over `batches` batches
    `mask_share`    fraction of the selected tokens replaced by [MASK]
    `random_share`  fraction of the selected tokens replaced by a random token; the rest keep their token
    `unit`          a token, a word (by MeCab), or a span; each unit is selected as a whole
    `span_length`   mean length of a span in tokens; lengths follow a geometric distribution
    """

    rate: float = 0.3
    final_rate: float = 0.3
    batches: int = 1
    mask_share: float = 0.8
    random_share: float = 0.1
    unit: Literal["token", "word", "span"] = "token"
    span_length: float = 3.0

    def rate_at(self, batch: int) -> float:
        """The fraction of tokens to select in batch `batch` of the stage, counted from 0."""
        return self.rate + (self.final_rate - self.rate) * min(1.0, batch / self.batches)

    def slots(self, size: int) -> int:
        """Number of scored slots of a row of `size` slots; constant over a stage."""
        return int(max(self.rate, self.final_rate) * size)


PAPER_MASKING = Masking()


def span_starts(candidates: int, mean: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """Whether a span begins at each candidate, (candidates,). The spans cover all candidates; `mean` tokens each."""
    starts = np.zeros(candidates, bool)
    if candidates:
        lengths = random.geometric(1 / mean, candidates)
        starts[0] = True
        ends = np.cumsum(lengths)
        starts[ends[: np.searchsorted(ends, candidates)]] = True
    return starts


def mask(
    ids: Integers,
    candidates: Integers,
    starts: NDArray[np.bool_] | None,
    count: int,
    masking: Masking,
    vocabulary: Vocabulary,
    random: np.random.Generator,
) -> tuple[Integers, Integers]:
    """Mask tokens of `ids`, (T,), in place; return the positions to score and their labels, (slots,) each.

    `candidates` holds the positions that may be selected, in order. `starts`, (candidates,), marks those at which a
    unit begins; None makes each candidate a unit. At most `count` candidates are selected: whole units, and never more
    than the row has slots. A unit is masked, replaced or kept as a whole. Unused slots point at position 0 and are
    labelled IGNORE.
    """
    slots = masking.slots(len(ids))
    count = min(count, slots)
    if starts is None:
        selected = np.sort(random.choice(candidates, count, replace=False, shuffle=False))
        draw = random.random(len(selected))
    else:
        unit = np.cumsum(starts) - 1
        sizes = np.bincount(unit)
        order = random.permutation(len(sizes))
        unit_selected = np.zeros(len(sizes), bool)
        unit_selected[order[np.cumsum(sizes[order]) <= count]] = True
        selected = candidates[unit_selected[unit]]
        draw = random.random(len(sizes))[unit[unit_selected[unit]]]
    scored, labels = np.zeros(slots, np.int64), np.full(slots, IGNORE)
    scored[: len(selected)], labels[: len(selected)] = selected, ids[selected]
    ids[selected[draw < masking.mask_share]] = vocabulary.tokenizer.mask_id
    replaced = selected[(draw >= masking.mask_share) & (draw < masking.mask_share + masking.random_share)]
    ids[replaced] = random.choice(vocabulary.ordinary_ids, len(replaced))
    return scored, labels
