"""Sources → ids held in memory: small corpora, without a token store on the disk."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anaume.corpus.readers import documents
from anaume.corpus.source import Source
from anaume.tokenizer.load import Tokenizer
from anaume.tokens.shard import in_batches


@dataclass(frozen=True)
class MemoryStore:
    """A sequence of documents as ids; document d is `ids[ends[d - 1]:ends[d]]`."""

    ids: NDArray[np.uint32]
    ends: NDArray[np.int64]
    characters: int

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def tokens(self) -> int:
        """Ids of all documents."""
        return len(self.ids)

    @property
    def checksum(self) -> str:
        """SHA-256 of the ids and of where documents end."""
        return hashlib.sha256(self.ids.tobytes() + self.ends.tobytes()).hexdigest()

    def lengths(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of ids of each of the documents, (n,) → (n,)."""
        return np.diff(self.ends, prepend=0)[indices]

    def document(self, index: int) -> NDArray[np.uint32]:
        """The ids of one document."""
        return self.ids[self.ends[index - 1] if index else 0 : self.ends[index]]


def encode(source: Source, tokenizer: Tokenizer) -> MemoryStore:
    """Encode all documents of a source.

    Raises:
        UserError: as `corpus.readers.documents`.
    """
    found: list[NDArray[np.uint32]] = []
    characters = 0
    for texts in in_batches(documents(source)):
        encoded = [(len(text), ids) for text, ids in zip(texts, tokenizer.encode(texts), strict=True) if len(ids)]
        found += [ids for _, ids in encoded]
        characters += sum(length for length, _ in encoded)
    return MemoryStore(np.concatenate(found), np.cumsum([len(ids) for ids in found]), characters)
