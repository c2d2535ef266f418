"""A tokenizer → properties of its ids that batches use: ordinary ids, text of each id, ends of sentences."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from anaume.tokenizer.load import Tokenizer
from anaume.tokenizer.surfaces import end_sentences, surfaces


@dataclass(frozen=True)
class Vocabulary:
    """Properties of a tokenizer's ids, each computed at its first use."""

    tokenizer: Tokenizer

    @cached_property
    def ordinary_ids(self) -> NDArray[np.int64]:
        """Ids that a random replacement is drawn from: all except the special ones, in ascending order."""
        return np.setdiff1d(np.arange(self.tokenizer.vocab_size), np.array(self.tokenizer.special_ids))

    @cached_property
    def surfaces(self) -> list[bytes]:
        """UTF-8 text of each id; empty for special ids."""
        return surfaces(self.tokenizer)

    @cached_property
    def ends_sentence(self) -> NDArray[np.bool_]:
        """(vocabulary,) True for ids that end a sentence or a line, the preferred places to split a document."""
        return end_sentences(self.surfaces)
