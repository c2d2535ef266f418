"""Which tokens are hidden. The paper's rule: 30 % of the tokens; of those 80 % become the mask, 10 % a random token
and 10 % stay (arXiv 2504.15544, section 3.2).

Beside it: whole words (Cui et al., arXiv 1906.08101), spans (SpanBERT, arXiv 1907.10529), and a rate that falls over
the stage (mmBERT, arXiv 2509.06888). What is hidden depends on the batch's own random numbers only.
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
    """How tokens are hidden; the defaults are the paper's.

    `rate`          share of the tokens to predict; it moves to `final_rate` in a straight line over `batches` batches
    `mask_share`    of those, so many become the mask and `random_share` a random token; the others stay
    `unit`          what is hidden as a whole: a token, a word (MeCab's), or a span
    `span_length`   mean tokens of a span, drawn from a geometric distribution
    """

    rate: float = 0.3
    final_rate: float = 0.3
    batches: int = 1
    mask_share: float = 0.8
    random_share: float = 0.1
    unit: Literal["token", "word", "span"] = "token"
    span_length: float = 3.0

    def rate_at(self, batch: int) -> float:
        """The share to predict in the stage's batch of this number."""
        return self.rate + (self.final_rate - self.rate) * min(1.0, batch / self.batches)

    def slots(self, size: int) -> int:
        """Scored slots of a batch of `size` tokens: the same number for a whole stage."""
        return int(max(self.rate, self.final_rate) * size)


PAPERS = Masking()


def spans(candidates: int, mean: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """(candidates,) where spans begin that together cover them all."""
    starts = np.zeros(candidates, bool)
    if candidates:
        lengths = random.geometric(1 / mean, candidates)
        starts[0] = True
        starts[(places := np.cumsum(lengths))[: np.searchsorted(places, candidates)]] = True
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
    """Hide tokens of `ids` in place; give the (slots,) positions and labels to score.

    `candidates` are positions in order, and `starts` marks those with which a unit begins; without it each is a unit
    of its own. `count` of them are hidden, or fewer where the next unit would be too long, and at most the slots of a
    row of this size; unused slots point at position 0 and are labelled IGNORE. A unit is masked, replaced or kept as a
    whole.
    """
    slots = masking.slots(len(ids))
    count = min(count, slots)
    if starts is None:
        chosen = np.sort(random.choice(candidates, count, replace=False, shuffle=False))
        lot = random.random(len(chosen))
    else:
        unit = np.cumsum(starts) - 1
        sizes = np.bincount(unit)
        order = random.permutation(len(sizes))
        taken = np.zeros(len(sizes), bool)
        taken[order[np.cumsum(sizes[order]) <= count]] = True
        chosen = candidates[taken[unit]]
        lot = random.random(len(sizes))[unit[taken[unit]]]
    scored, labels = np.zeros(slots, np.int64), np.full(slots, IGNORE)
    scored[: len(chosen)], labels[: len(chosen)] = chosen, ids[chosen]
    ids[chosen[lot < masking.mask_share]] = vocabulary.tokenizer.mask_id
    replaced = chosen[(lot >= masking.mask_share) & (lot < masking.mask_share + masking.random_share)]
    ids[replaced] = random.choice(vocabulary.ordinary_ids, len(replaced))
    return scored, labels
