"""The token store: documents as uint32 ids on disk, read through memory maps.

A shard is a folder:

    ids.bin      uint32, little-endian: the ids of all documents, one after the other, without cls and sep
    ends.bin     uint64, little-endian: for each document, where its ids end in ids.bin (in ids)
    header.json  format version, vocabulary, counts, checksums; written last, so it says that the shard is whole

A store is one shard, or a folder of them whose own header.json lists them; `Store` shows both as one
sequence of documents. Files are written under a temporary name first: a shard is whole or absent.
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
from anaume.files import folder_atomic, sha256
from anaume.tokens import sealed

Ids = np.ndarray[tuple[int], np.dtype[np.uint32]]
Integers = np.ndarray[tuple[int], np.dtype[np.int64]]

FORMAT = 1
HEADER, IDS, ENDS = "header.json", "ids.bin", "ends.bin"

_ID, _END = np.dtype("<u4"), np.dtype("<u8")
_OPEN_SHARDS = 256  # maps held at a time: two open files each, and 1,024 is the usual limit of a process
_BLOCK = 1 << 22  # ids, or ends, looked at at a time: some 32 MB


@dataclass(frozen=True)
class Header:
    """What header.json holds. `checksums`: file name → SHA-256; `details`: what the writer wants to remember."""

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
    """A sequence of documents, each a run of ids; `tokens` counts them all.

    `shards` are folders; documents `first_document[s]` to `first_document[s + 1] - 1` lie in `shards[s]`.
    """

    folder: Path
    vocabulary_hash: str
    vocab_size: int
    tokens: int
    shards: tuple[Path, ...]
    first_document: Integers = field(repr=False, compare=False)  # one more than shards

    def __len__(self) -> int:
        return int(self.first_document[-1])

    @property
    def checksum(self) -> str:
        """SHA-256 of what the shards' headers say of the ids and of where documents end."""
        told = [read_header(shard).checksums for shard in self.shards]
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def lengths(self, indices: Integers) -> Integers:
        """Number of ids of each of the documents `indices`, shape (n,) → (n,).

        Raises:
            IndexError: an index is negative or past the last document.
        """
        if len(indices) and not 0 <= indices.min() <= indices.max() < len(self):
            raise IndexError(f"{self.folder}: documents {indices.min()} … {indices.max()} of {len(self)}")
        lengths = np.empty(len(indices), dtype=np.int64)
        order = np.argsort(indices)
        bounds = np.searchsorted(indices[order], self.first_document)
        for shard in np.flatnonzero(np.diff(bounds)):
            here = order[bounds[shard] : bounds[shard + 1]]
            local = indices[here] - self.first_document[shard]
            _, ends = _mapped(self.shards[shard])
            begins = np.where(local > 0, ends[local - 1], 0)
            lengths[here] = ends[local].astype(np.int64) - begins.astype(np.int64)
        return lengths

    def document(self, index: int) -> Ids:
        """The ids of one document: a view of the file, not a copy, not writable.

        Raises:
            IndexError: `index` is negative or past the last document.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"{self.folder}: document {index} of {len(self)}")
        shard = int(np.searchsorted(self.first_document, index, side="right")) - 1
        local = index - int(self.first_document[shard])
        ids, ends = _mapped(self.shards[shard])
        document: Ids = ids[int(ends[local - 1]) if local else 0 : int(ends[local])]
        return document


def open(folder: Path, vocabulary_hash: str | None = None) -> Store:
    """Open the store in `folder`; with `vocabulary_hash`, only if it was made with that tokenizer.

    Reads headers and file sizes, no tokens.

    Raises:
        UserError: there is no store, a file of it is cut off, or it was made with another tokenizer.
    """
    header = read_header(folder)
    _mapped.cache_clear()  # a shard may have been made anew under its old name
    if vocabulary_hash not in (None, header.vocabulary_hash):
        raise UserError(
            f"{folder}: made with another tokenizer (vocabulary {header.vocabulary_hash[:12]}); "
            f"accepted: vocabulary {vocabulary_hash[:12]}"
        )
    shards = tuple(folder / name for name in header.shards) or (folder,)
    counts = [0]
    for shard in shards:
        inner = read_header(shard) if header.shards else header
        _check_sizes(shard, inner)
        if inner.vocabulary_hash != header.vocabulary_hash:
            raise UserError(f"{shard}: made with another tokenizer than the rest of {folder}")
        counts.append(inner.documents)
    if sum(counts) != header.documents:
        raise UserError(f"{folder}: its shards hold {sum(counts)} documents, its header says {header.documents}")
    return Store(folder, header.vocabulary_hash, header.vocab_size, header.tokens, shards, np.cumsum(counts))


def read_header(folder: Path) -> Header:
    """The header of a store or a shard.

    Raises:
        UserError: there is none, or one of another format.
    """
    file = folder / HEADER
    if not file.exists():
        raise UserError(f"{folder}: no token store, or not a whole one (no {HEADER}); run `anaume tokens`")
    try:
        values = sealed.read(file)
        header = Header(**{**values, "shards": tuple(values["shards"])})
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{file}: not a token store's header ({error})") from error
    if header.format != FORMAT:
        raise UserError(f"{file}: format {header.format}; accepted: {FORMAT}")
    return header


class Writer:
    """Takes a shard's documents, some at a time. What `details` holds at the end goes into the header."""

    def __init__(self, ids: BinaryIO, ends: BinaryIO, vocab_size: int) -> None:
        self.documents = 0
        self.tokens = 0
        self.details: dict[str, Any] = {}
        self._vocab_size = vocab_size
        self._files = {IDS: ids, ENDS: ends}
        self._checksums = {IDS: hashlib.sha256(), ENDS: hashlib.sha256()}

    def extend(self, documents: Sequence[Ids]) -> None:
        """Append documents of one id or more each.

        Raises:
            ValueError: one has no id, or one that is not in the vocabulary.
        """
        lengths = [len(ids) for ids in documents]
        if not all(lengths):
            raise ValueError("a document without ids; accepted: one or more")
        ids = np.concatenate(documents)
        if int(ids.max()) >= self._vocab_size:
            raise ValueError(f"id {ids.max()}; accepted: 0 … {self._vocab_size - 1}")
        ends = self.tokens + np.cumsum(lengths)
        self.documents += len(documents)
        self.tokens = int(ends[-1])
        self._write(IDS, ids.astype(_ID).tobytes())
        self._write(ENDS, ends.astype(_END).tobytes())

    def _write(self, file: str, content: bytes) -> None:
        self._files[file].write(content)
        self._checksums[file].update(content)

    def header(self, vocabulary_hash: str) -> Header:
        """The header of what was written so far."""
        checksums = {file: checksum.hexdigest() for file, checksum in self._checksums.items()}
        return Header(vocabulary_hash, self._vocab_size, self.documents, self.tokens, checksums, self.details)


@contextmanager
def writing(folder: Path, vocab_size: int, vocabulary_hash: str) -> Iterator[Writer]:
    """A Writer whose shard becomes `folder` when the block ends without an error; replaces an earlier one."""
    with folder_atomic(folder) as temporary:
        with (temporary / IDS).open("wb") as ids, (temporary / ENDS).open("wb") as ends:
            writer = Writer(ids, ends, vocab_size)
            yield writer
        write_header(temporary, writer.header(vocabulary_hash))


def write(folder: Path, documents: Iterable[Ids], *, vocab_size: int, vocabulary_hash: str) -> Store:
    """Write a store of one shard from arrays of ids, and open it."""
    with writing(folder, vocab_size, vocabulary_hash) as writer:
        for ids in documents:
            writer.extend([ids])
    return open(folder, vocabulary_hash)


def write_header(folder: Path, header: Header) -> None:
    """Write header.json, atomically."""
    sealed.write(folder / HEADER, asdict(header))


def lengths_in_blocks(store: Store) -> Iterator[Integers]:
    """The lengths of all documents in order, some millions at a time."""
    for begin in range(0, len(store), _BLOCK):
        yield store.lengths(np.arange(begin, min(begin + _BLOCK, len(store))))


def verify(folder: Path, vocabulary_hash: str | None = None) -> list[str]:
    """What is wrong with the store in `folder`, one line each; an empty list if nothing is.

    Reads everything: finds missing and cut-off files, changed bytes (of the headers too), ends out of order, ids
    outside the vocabulary, and a vocabulary other than `vocabulary_hash`.
    """
    try:
        header = read_header(folder)
    except UserError as error:
        return [str(error)]
    if not sealed.is_unchanged(folder / HEADER):
        return [f"{folder / HEADER}: changed since it was written (checksum)"]
    if header.shards:
        expected = vocabulary_hash or header.vocabulary_hash
        found = [problem for name in header.shards for problem in verify(folder / name, expected)]
        return found or _wrong_totals(folder, header)
    if vocabulary_hash not in (None, header.vocabulary_hash):
        return [f"{folder}: vocabulary {header.vocabulary_hash[:12]}; accepted: {vocabulary_hash[:12]}"]
    try:
        _check_sizes(folder, header)
    except UserError as error:
        return [str(error)]
    changed = [file for file in (IDS, ENDS) if sha256(folder / file) != header.checksums.get(file)]
    return [f"{folder / file}: changed since it was written (checksum)" for file in changed] + [
        f"{folder}: {problem}" for problem in _wrong_content(folder, header)
    ]


def _wrong_totals(folder: Path, header: Header) -> list[str]:
    inner = [read_header(folder / name) for name in header.shards]
    documents, tokens = sum(h.documents for h in inner), sum(h.tokens for h in inner)
    if (documents, tokens) == (header.documents, header.tokens):
        return []
    return [
        f"{folder / HEADER}: {header.documents} documents and {header.tokens} tokens; "
        f"its shards hold {documents} and {tokens}"
    ]


def _wrong_content(folder: Path, header: Header) -> Iterator[str]:
    ids, ends = _map(folder)
    last = 0
    for begin in range(0, len(ends), _BLOCK):
        block = ends[begin : begin + _BLOCK].astype(np.int64)
        if (np.diff(block, prepend=last) <= 0).any():
            yield f"{ENDS}: the ends of documents are not in increasing order"
            break
        last = int(block[-1])
    if len(ends) and int(ends[-1]) != header.tokens:
        yield f"{ENDS}: the last document ends at {int(ends[-1])}; accepted: {header.tokens}"
    for begin in range(0, len(ids), _BLOCK):
        highest = int(ids[begin : begin + _BLOCK].max())
        if highest >= header.vocab_size:
            yield f"{IDS}: id {highest}; accepted: 0 … {header.vocab_size - 1}"
            break


def _check_sizes(folder: Path, header: Header) -> None:
    for file, size in ((IDS, header.tokens * _ID.itemsize), (ENDS, header.documents * _END.itemsize)):
        path = folder / file
        found = path.stat().st_size if path.exists() else 0
        if found != size:
            raise UserError(f"{path}: {found:,} bytes; accepted: {size:,}, as its header says (cut off?)")


@lru_cache(maxsize=_OPEN_SHARDS)
def _mapped(shard: Path) -> tuple[Any, Any]:
    return _map(shard)


def _map(shard: Path) -> tuple[Any, Any]:
    """ids.bin and ends.bin of a shard, as read-only arrays."""
    return _map_file(shard / IDS, _ID), _map_file(shard / ENDS, _END)


def _map_file(path: Path, kind: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if not path.stat().st_size:  # an empty file can't be mapped
        return np.empty(0, dtype=kind)
    return np.memmap(path, dtype=kind, mode="r").view(np.ndarray)
