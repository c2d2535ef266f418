"""The token store: documents as uint32 token ids on disk, read through memory maps.

A shard is a folder:

    ids.bin      uint32, little-endian: the ids of all documents, one after the other, without cls and sep
    ends.bin     uint64, little-endian: for each document, the index in ids.bin at which its ids end
    header.json  format version, vocabulary, counts, checksums; written last, so its presence means a whole shard

A store is one shard, or a folder whose header.json lists several shards; `Store` presents both as one sequence of
documents. A shard is written under a temporary name and then renamed, so it is whole or absent.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from anaume.errors import UserError
from anaume.files import folder_atomic, sealed, sha256

Ids = np.ndarray[tuple[int], np.dtype[np.uint32]]
Integers = np.ndarray[tuple[int], np.dtype[np.int64]]

FORMAT = 1
HEADER, IDS, ENDS = "header.json", "ids.bin", "ends.bin"

_ID, _END = np.dtype("<u4"), np.dtype("<u8")
_OPEN_SHARDS = 256  # shards mapped at a time; each has two open files, and a process may usually open 1,024
_BLOCK = 1 << 22  # ids or ends processed at a time, about 32 MB


@dataclass(frozen=True)
class Header:
    """Content of header.json. `checksums`: file name → SHA-256. `details`: further values of the writer's choice."""

    vocabulary_hash: str
    vocab_size: int
    documents: int
    tokens: int
    checksums: dict[str, str] = field(default_factory=dict)
    details: dict[str, Any] = field(default_factory=dict)
    shards: tuple[str, ...] = ()
    format: int = FORMAT


@dataclass(frozen=True)
class Store:
    """A sequence of documents as token ids; `tokens` is the number of ids of all documents.

    `shards` are folders; documents `first_document[s]` to `first_document[s + 1] - 1` lie in `shards[s]`.
    """

    folder: Path
    vocabulary_hash: str
    vocab_size: int
    tokens: int
    shards: tuple[Path, ...]
    first_document: Integers = field(repr=False, compare=False)  # shape (shards + 1,)

    def __len__(self) -> int:
        return int(self.first_document[-1])

    @property
    def characters(self) -> int:
        """Number of characters of all documents, as the writer counted them; 0 if it did not."""
        return int(read_header(self.folder).details.get("characters", 0))

    @property
    def checksum(self) -> str:
        """SHA-256 over the checksums of ids and document ends in the shards' headers."""
        checksums = [read_header(shard).checksums for shard in self.shards]
        return hashlib.sha256(json.dumps(checksums, sort_keys=True).encode()).hexdigest()

    def lengths(self, indices: Integers) -> Integers:
        """Number of ids of each document in `indices`, shape (n,) → (n,).

        Raises:
            IndexError: an index is negative or past the last document.
        """
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"{self.folder}: documents {indices.min()} … {indices.max()} of {len(self)}")
        lengths = np.empty(len(indices), dtype=np.int64)
        order = np.argsort(indices)
        bounds = np.searchsorted(indices[order], self.first_document)
        for shard in np.flatnonzero(np.diff(bounds)):
            positions = order[bounds[shard] : bounds[shard + 1]]
            local = indices[positions] - self.first_document[shard]
            _, ends = _cached_arrays(self.shards[shard])
            begins = np.where(local > 0, ends[local - 1], 0)
            lengths[positions] = ends[local].astype(np.int64) - begins.astype(np.int64)
        return lengths

    def document(self, index: int) -> Ids:
        """Token ids of one document, shape (length,): a read-only view of the file.

        Raises:
            IndexError: `index` is negative or past the last document.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.folder}: document {index} of {len(self)}")
        shard = int(np.searchsorted(self.first_document, index, side="right")) - 1
        local = index - int(self.first_document[shard])
        ids, ends = _cached_arrays(self.shards[shard])
        document: Ids = ids[int(ends[local - 1]) if local else 0 : int(ends[local])]
        return document


def open(folder: Path, vocabulary_hash: str | None = None) -> Store:
    """Open the store in `folder`. Headers and file sizes are read, tokens are not.

    `vocabulary_hash` is the expected vocabulary; None accepts any.

    Raises:
        UserError: there is no store, a file is cut off, or the store was made with another tokenizer.
    """
    header = read_header(folder)
    _cached_arrays.cache_clear()  # a shard may have been replaced under its old name
    if vocabulary_hash not in (None, header.vocabulary_hash):
        raise UserError(
            f"{folder}: made with another tokenizer (vocabulary {header.vocabulary_hash[:12]}); "
            f"expected vocabulary {vocabulary_hash[:12]}"
        )
    shards = tuple(folder / name for name in header.shards) or (folder,)
    counts = [0]
    for shard in shards:
        shard_header = read_header(shard) if header.shards else header
        _check_sizes(shard, shard_header)
        if shard_header.vocabulary_hash != header.vocabulary_hash:
            raise UserError(f"{shard}: made with another tokenizer than the rest of {folder}")
        counts.append(shard_header.documents)
    if sum(counts) != header.documents:
        raise UserError(
            f"{folder}: its shards hold {sum(counts)} documents; expected {header.documents}, as in its header"
        )
    return Store(folder, header.vocabulary_hash, header.vocab_size, header.tokens, shards, np.cumsum(counts))


def read_header(folder: Path) -> Header:
    """Read the header of a store or a shard.

    Raises:
        UserError: the header is absent, malformed or of another format version.
    """
    file = folder / HEADER
    if not file.exists():
        raise UserError(
            f"{folder}: no token store, or not a whole one (no {HEADER}); expected a folder that `anaume tokens` wrote"
        )
    try:
        values = sealed.read(file)
        header = Header(**{**values, "shards": tuple(values["shards"])})
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file}: not a token store's header ({error})") from error
    if header.format != FORMAT:
        raise UserError(f"{file}: format {header.format}; expected {FORMAT}")
    return header


class Writer:
    """Appends documents to the files of a shard. `details` goes into the header at the end."""

    def __init__(self, ids: BinaryIO, ends: BinaryIO, vocab_size: int) -> None:
        self.documents = 0
        self.tokens = 0
        self.details: dict[str, Any] = {}
        self._vocab_size = vocab_size
        self._files = {IDS: ids, ENDS: ends}
        self._checksums = {IDS: hashlib.sha256(), ENDS: hashlib.sha256()}

    def extend(self, documents: Sequence[Ids]) -> None:
        """Append documents, each an array of one or more ids.

        Raises:
            ValueError: a document has no ids, or an id outside the vocabulary.
        """
        lengths = [len(ids) for ids in documents]
        if not all(lengths):
            raise ValueError("a document without ids; expected one or more")
        ids = np.concatenate(documents)
        if int(ids.max()) >= self._vocab_size:
            raise ValueError(f"id {ids.max()}; expected 0 … {self._vocab_size - 1}")
        ends = self.tokens + np.cumsum(lengths)
        self.documents += len(documents)
        self.tokens = int(ends[-1])
        self._write(IDS, ids.astype(_ID).tobytes())
        self._write(ENDS, ends.astype(_END).tobytes())

    def _write(self, file: str, content: bytes) -> None:
        self._files[file].write(content)
        self._checksums[file].update(content)

    def header(self, vocabulary_hash: str) -> Header:
        """Header of the documents written so far."""
        checksums = {file: checksum.hexdigest() for file, checksum in self._checksums.items()}
        return Header(vocabulary_hash, self._vocab_size, self.documents, self.tokens, checksums, self.details)


@contextmanager
def writing(folder: Path, vocab_size: int, vocabulary_hash: str) -> Iterator[Writer]:
    """Yield a Writer; its shard becomes or replaces `folder` when the block ends without an error."""
    with folder_atomic(folder) as temporary:
        with (temporary / IDS).open("wb") as ids, (temporary / ENDS).open("wb") as ends:
            writer = Writer(ids, ends, vocab_size)
            yield writer
        write_header(temporary, writer.header(vocabulary_hash))


def write(folder: Path, documents: Iterable[Ids], *, vocab_size: int, vocabulary_hash: str) -> Store:
    """Write a store of one shard, one array of ids per document, and open it."""
    with writing(folder, vocab_size, vocabulary_hash) as writer:
        for ids in documents:
            writer.extend([ids])
    return open(folder, vocabulary_hash)


def write_header(folder: Path, header: Header) -> None:
    """Write header.json, atomically."""
    sealed.write(folder / HEADER, asdict(header))


def lengths_in_blocks(store: Store) -> Iterator[Integers]:
    """Lengths of all documents in order, in arrays of at most 4 million (2²²)."""
    for begin in range(0, len(store), _BLOCK):
        yield store.lengths(np.arange(begin, min(begin + _BLOCK, len(store))))


def verify(folder: Path, vocabulary_hash: str | None = None) -> list[str]:
    """List the problems of the store in `folder`, one line each; the list is empty if the store is whole.

    Every byte is read. The problems are missing and cut-off files, changed bytes (also of headers), document ends out
    of order, ids outside the vocabulary, and a vocabulary other than `vocabulary_hash`, unless that is None.
    """
    try:
        header = read_header(folder)
    except UserError as error:
        return [str(error)]
    if not sealed.is_unchanged(folder / HEADER):
        return [f"{folder / HEADER}: changed since it was written (checksum)"]
    if header.shards:
        expected = vocabulary_hash or header.vocabulary_hash
        problems = [problem for name in header.shards for problem in verify(folder / name, expected)]
        return problems or _total_problems(folder, header)
    if vocabulary_hash not in (None, header.vocabulary_hash):
        return [f"{folder}: vocabulary {header.vocabulary_hash[:12]}; expected {vocabulary_hash[:12]}"]
    try:
        _check_sizes(folder, header)
    except UserError as error:
        return [str(error)]
    changed = [file for file in (IDS, ENDS) if sha256(folder / file) != header.checksums.get(file)]
    return [f"{folder / file}: changed since it was written (checksum)" for file in changed] + [
        f"{folder}: {problem}" for problem in _content_problems(folder, header)
    ]


def _total_problems(folder: Path, header: Header) -> list[str]:
    shard_headers = [read_header(folder / name) for name in header.shards]
    documents, tokens = sum(shard.documents for shard in shard_headers), sum(shard.tokens for shard in shard_headers)
    if (documents, tokens) == (header.documents, header.tokens):
        return []
    return [
        f"{folder}: its shards hold {documents} documents and {tokens} tokens; "
        f"expected {header.documents} and {header.tokens}, as in its header"
    ]


def _content_problems(folder: Path, header: Header) -> Iterator[str]:
    ids, ends = _open_arrays(folder)
    last = 0
    for begin in range(0, len(ends), _BLOCK):
        block = ends[begin : begin + _BLOCK].astype(np.int64)
        if (np.diff(block, prepend=last) <= 0).any():
            yield f"{ENDS}: the ends of documents are not in increasing order"
            break
        last = int(block[-1])
    if len(ends) and int(ends[-1]) != header.tokens:
        yield f"{ENDS}: the last document ends at {int(ends[-1])}; expected {header.tokens}"
    for begin in range(0, len(ids), _BLOCK):
        highest = int(ids[begin : begin + _BLOCK].max())
        if highest >= header.vocab_size:
            yield f"{IDS}: id {highest}; expected 0 … {header.vocab_size - 1}"
            break


def _check_sizes(folder: Path, header: Header) -> None:
    for file, size in ((IDS, header.tokens * _ID.itemsize), (ENDS, header.documents * _END.itemsize)):
        path = folder / file
        actual = path.stat().st_size if path.exists() else 0
        if actual != size:
            raise UserError(f"{path}: {actual:,} bytes; expected {size:,}, as in its header (cut off?)")


@lru_cache(maxsize=_OPEN_SHARDS)
def _cached_arrays(shard: Path) -> tuple[Any, Any]:
    return _open_arrays(shard)


def _open_arrays(shard: Path) -> tuple[Any, Any]:
    """Map ids.bin and ends.bin of a shard as read-only arrays."""
    return _map_file(shard / IDS, _ID), _map_file(shard / ENDS, _END)


def _map_file(path: Path, kind: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if not path.stat().st_size:  # an empty file can't be mapped
        return np.empty(0, dtype=kind)
    return np.memmap(path, dtype=kind, mode="r").view(np.ndarray)
