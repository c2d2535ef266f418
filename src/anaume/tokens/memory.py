"""Sources → token ids held in memory: small corpora that need no store on disk."""

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anaume.corpus.readers import documents
from anaume.corpus.source import Source
from anaume.tokenizer.load import Tokenizer
from anaume.tokens.shard import batch_texts


@dataclass(frozen=True)
class MemoryStore:
    """A sequence of documents as token ids; document d is `ids[ends[d - 1]:ends[d]]`."""

    ids: NDArray[np.uint32]
    ends: NDArray[np.int64]
    characters: int
    unknown_tokens: int

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def tokens(self) -> int:
        """Number of ids of all documents."""
        return len(self.ids)

    @property
    def checksum(self) -> str:
        """SHA-256 of the ids and of the document ends."""
        return hashlib.sha256(self.ids.tobytes() + self.ends.tobytes()).hexdigest()

    def lengths(self, indices: NDArray[np.int64]) -> NDArray[np.int64]:
        """Number of ids of each document in `indices`, shape (n,) → (n,)."""
        return np.diff(self.ends, prepend=0)[indices]

    def document(self, index: int) -> NDArray[np.uint32]:
        """Token ids of one document, shape (length,)."""
        return self.ids[self.ends[index - 1] if index else 0 : self.ends[index]]


def encode(source: Source, tokenizer: Tokenizer) -> MemoryStore:
    """Encode all documents of a source; a document without ids is left out.

    Raises:
        UserError: the source can't be read or holds no document.
    """
    id_arrays: list[NDArray[np.uint32]] = []
    characters = unknown = 0
    for texts in batch_texts(documents(source)):
        encoded = [(len(text), ids) for text, ids in zip(texts, tokenizer.encode(texts), strict=True) if len(ids)]
        id_arrays += [ids for _, ids in encoded]
        characters += sum(length for length, _ in encoded)
        unknown += sum(tokenizer.count_unknown(ids) for _, ids in encoded)
    return MemoryStore(np.concatenate(id_arrays), np.cumsum([len(ids) for ids in id_arrays]), characters, unknown)
