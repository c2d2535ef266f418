"""BatchPlan: everything that determines a stage's batches, and the values computed from it alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from anaume.batches.lengths import bins_of, keep_probabilities
from anaume.batches.masking import PAPER_MASKING, Masking
from anaume.batches.next_token import NextToken
from anaume.batches.order import Order
from anaume.batches.packing import cut
from anaume.errors import UserError
from anaume.tokenizer.load import Tokenizer
from anaume.tokenizer.vocabulary import Vocabulary

# Rows that a window should fill: enough for tight packing, and few enough to pack quickly.
WINDOW_ROWS = 256
# Number of documents whose lengths a stage reads to estimate the lengths of the whole corpus.
SAMPLE = 1 << 16


class Documents(Protocol):
    """A sequence of documents as token ids; `tokens.store.Store` implements it."""

    def __len__(self) -> int: ...

    def lengths(self, indices: NDArray[np.int64]) -> NDArray[np.int64]: ...

    def document(self, index: int) -> NDArray[np.uint32]: ...


@dataclass(frozen=True)
class BatchPlan:
    """The stores, their weights, the seed and the stage's settings.

    `length`         slots of the longest piece
    `row_tokens`     slots of a row, that is of a micro-batch
    `draw`           number of the draw of masks; each draw hides other tokens of the same text
    `next_token`     settings of a causal stage, which takes the place of `masking`; None for a masked stage
    `length_shares`  required shares of the tokens in each bin of `lengths.BIN_NAMES`; empty: no resampling
    """

    stores: Sequence[Documents]
    weights: tuple[float, ...]
    tokenizer: Tokenizer
    seed: int
    length: int
    row_tokens: int
    masking: Masking = PAPER_MASKING
    draw: int = 0
    next_token: NextToken | None = None
    documents: Literal["split", "truncate"] = "split"
    packing: bool = True
    min_document_tokens: int = 0
    length_shares: tuple[float, ...] = ()

    @cached_property
    def order(self) -> Order:
        """The order of the documents in every epoch."""
        return Order(self.seed, tuple(len(store) for store in self.stores), self.weights)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """Properties of the tokenizer's ids."""
        return Vocabulary(self.tokenizer)

    def lengths_of(self, source: NDArray[np.int64], document: NDArray[np.int64]) -> NDArray[np.int64]:
        """Lengths in tokens of the documents with these source and document numbers: (n,), (n,) → (n,)."""
        lengths = np.empty(len(source), np.int64)
        for number, store in enumerate(self.stores):
            of_store = source == number
            lengths[of_store] = store.lengths(document[of_store])
        return lengths

    @cached_property
    def _sample(self) -> tuple[int, NDArray[np.int64]]:
        """Number of sampled documents and the lengths of their pieces; the cost does not grow with the corpus."""
        source, document = self.order.at(0, 0, SAMPLE)
        lengths = self.lengths_of(source, document)
        pieces = cut(lengths[lengths >= self.min_document_tokens], self.length, self.documents)
        return len(source), pieces.lengths

    @cached_property
    def kept_shares(self) -> NDArray[np.float64] | None:
        """Probability of keeping a piece of each length bin, (bins,); None keeps all pieces.

        Raises:
            UserError: `length_shares` asks for pieces that the corpus does not have.
        """
        if not self.length_shares:
            return None
        sampled, lengths = self._sample
        try:
            return keep_probabilities(lengths, self.length_shares)
        except ValueError as error:
            raise UserError(
                f"length_shares = {list(self.length_shares)}: no piece of {error} tokens among {sampled:,} documents"
                f" at length = {self.length}; expected 0 for that bin, or longer documents"
            ) from None

    @cached_property
    def window_documents(self) -> int:
        """Number of documents in a window, chosen so that a window fills about WINDOW_ROWS rows."""
        sampled, lengths = self._sample
        kept = 1.0 if self.kept_shares is None else self.kept_shares[bins_of(lengths)]
        slots = lengths if self.packing else np.full_like(lengths, self.length)
        return max(1, round(WINDOW_ROWS * self.row_tokens * sampled / max(1.0, float((slots * kept).sum()))))

    @property
    def windows(self) -> int:
        """Number of windows in an epoch."""
        return -(-self.order.epoch_size // self.window_documents)
