"""All that a stage's batches depend on, and what follows from it alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from anaume.batches.lengths import bins_of, keep_probabilities
from anaume.batches.masking import PAPERS, Masking
from anaume.batches.order import Order
from anaume.batches.packing import cut
from anaume.errors import UserError
from anaume.tokenizer.load import Tokenizer
from anaume.tokenizer.vocabulary import Vocabulary

# Rows a window should fill: enough for tight packing, few enough to pack in a moment.
WINDOW_ROWS = 256
# Documents from which a stage learns how long the corpus's documents are.
SAMPLE = 1 << 16


class Documents(Protocol):
    """A sequence of documents as ids; `tokens.store.Store` is one."""

    def __len__(self) -> int: ...

    def lengths(self, indices: NDArray[np.int64]) -> NDArray[np.int64]: ...

    def document(self, index: int) -> NDArray[np.uint32]: ...


@dataclass(frozen=True)
class BatchPlan:
    """The stores, their weights, the seed and the stage's settings.

    `length_shares`  wanted shares of tokens in pieces of each bin of `lengths.BINS`; empty: as the corpus has them
    """

    stores: Sequence[Documents]
    weights: tuple[float, ...]
    tokenizer: Tokenizer
    seed: int
    length: int
    row_tokens: int
    masking: Masking = PAPERS
    documents: Literal["split", "truncate"] = "split"
    packing: bool = True
    min_document_tokens: int = 0
    length_shares: tuple[float, ...] = ()

    @cached_property
    def order(self) -> Order:
        """The order of the documents."""
        return Order(self.seed, tuple(len(store) for store in self.stores), self.weights)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The ids by their use."""
        return Vocabulary(self.tokenizer)

    def lengths_of(self, source: NDArray[np.int64], document: NDArray[np.int64]) -> NDArray[np.int64]:
        """(n,) tokens of documents given by source and number."""
        lengths = np.empty(len(source), np.int64)
        for number, store in enumerate(self.stores):
            here = source == number
            lengths[here] = store.lengths(document[here])
        return lengths

    @cached_property
    def _sample(self) -> tuple[int, NDArray[np.int64]]:
        """How many documents were looked at, and the lengths of the pieces they give. Constant in the corpus's size."""
        source, document = self.order.at(0, 0, SAMPLE)
        lengths = self.lengths_of(source, document)
        pieces = cut(lengths[lengths >= self.min_document_tokens], self.length, self.documents)
        return len(source), pieces.lengths

    @cached_property
    def kept_shares(self) -> NDArray[np.float64] | None:
        """(bins,) how likely a piece of each bin is kept; None: all are.

        Raises:
            UserError: `length_shares` asks for pieces that the corpus doesn't have.
        """
        if not self.length_shares:
            return None
        looked_at, lengths = self._sample
        try:
            return keep_probabilities(lengths, self.length_shares)
        except ValueError as error:
            raise UserError(
                f"length_shares = {list(self.length_shares)}: no piece of {error} tokens among {looked_at:,} documents"
                f" at length = {self.length}; accepted: 0 for that bin, or longer documents"
            ) from None

    @cached_property
    def window_documents(self) -> int:
        """Documents a window, so that it fills about WINDOW_ROWS rows."""
        looked_at, lengths = self._sample
        kept = 1.0 if self.kept_shares is None else self.kept_shares[bins_of(lengths)]
        slots = lengths if self.packing else np.full_like(lengths, self.length)
        return max(1, round(WINDOW_ROWS * self.row_tokens * looked_at / max(1.0, float((slots * kept).sum()))))

    @property
    def windows(self) -> int:
        """Windows of an epoch."""
        return -(-self.order.epoch_size // self.window_documents)
