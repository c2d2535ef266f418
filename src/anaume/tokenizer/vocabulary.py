"""What batches need to know of a tokenizer: its special ids, and what the others stand for."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from anaume.tokenizer.load import Tokenizer
from anaume.tokenizer.surfaces import end_sentences, surfaces


@dataclass(frozen=True)
class Vocabulary:
    """The ids of a tokenizer by their use in a batch."""

    tokenizer: Tokenizer

    @cached_property
    def ordinary_ids(self) -> NDArray[np.int64]:
        """What a random replacement is drawn from: never [CLS], [SEP], padding or the mask."""
        return np.setdiff1d(np.arange(self.tokenizer.vocab_size), np.array(self.tokenizer.special_ids))

    @cached_property
    def surfaces(self) -> list[bytes]:
        """The bytes of text that each id stands for."""
        return surfaces(self.tokenizer)

    @cached_property
    def ends_sentence(self) -> NDArray[np.bool_]:
        """(vocabulary,) after which ids a document is best cut."""
        return end_sentences(self.surfaces)
