"""One input file, or one Hub data set → its records: a Document where it is readable, otherwise Unreadable.

Each reader here takes a `behind` callback, told from time to time how many bytes of the file are behind.
What makes a whole file useless (cut off, damaged, no text column) is a UserError; what makes a line useless
is an Unreadable, which the caller counts.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from anaume.corpus.document import Document
from anaume.corpus.source import Source
from anaume.errors import UserError

Behind = Callable[[int], None]

_CHUNK = 1 << 20  # bytes of a .zst file taken at a time
_LONGEST_WINDOW = 1 << 31  # what `zstd --long=31` writes; the library's own limit is 128 MiB


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that gives no document: `place` is file and line number, `reason` what is wrong with it."""

    place: str
    reason: str


Record = Document | Unreadable


def jsonl(file: Path, behind: Behind) -> Iterator[Record]:
    """A record for each line that isn't blank of a .jsonl, .jsonl.gz or .jsonl.zst file.

    Raises:
        UserError: the compressed file is cut off or damaged.
    """
    with file.open("rb") as raw:
        for number, line in enumerate(_lines(raw, file), 1):
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")  # the byte order mark that Windows editors write
            if not line.isspace():
                yield _from_line(line, f"{file}:{number}")
            behind(raw.tell())


def text(file: Path, behind: Behind) -> Iterator[Record]:
    """The one record of a .txt file, which is one document titled with the file's name."""
    content = file.read_bytes()
    try:
        yield Document(content.decode("utf-8-sig"), title=file.stem)
    except UnicodeDecodeError as error:
        yield Unreadable(str(file), f"not UTF-8 ({error})")
    behind(len(content))


def parquet(file: Path, behind: Behind) -> Iterator[Record]:
    """A record for each row of a .parquet file.

    Raises:
        UserError: not a Parquet file, or one without a `text` column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
    except pa.ArrowInvalid as error:
        raise UserError(f"{file}: not a whole Parquet file ({error})") from error
    with table:
        names = table.schema_arrow.names
        _need_text_column(names, str(file))
        number = 0
        for batch in table.iter_batches(256, columns=[n for n in ("text", "title", "source") if n in names]):
            for row in batch.to_pylist():
                number += 1
                yield _from_row(row, f"{file}:{number}")
            behind(file.stat().st_size * number // table.metadata.num_rows)


def hub(source: Source) -> Iterator[Record]:
    """A record for each row of a data set on the Hugging Face Hub (or in a local folder), streamed.

    Raises:
        UserError: no such data set, subset or split, no way to reach it, or no `text` column in it.
    """
    from datasets import load_dataset

    try:
        rows = load_dataset(source.hub, source.subset or None, split=source.split, streaming=True)
    except (OSError, ValueError) as error:  # not found, not reachable; no such subset or split
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"corpus {source}: {reason}") from error
    for number, row in enumerate(rows, 1):
        if number == 1:
            _need_text_column(list(row), str(source))
        yield _from_row(row, f"{source}:{number}")


def _need_text_column(names: list[str], place: str) -> None:
    if "text" not in names:
        raise UserError(f"{place}: columns {', '.join(names)}; accepted: one of them is `text`")


def _from_line(line: bytes, place: str) -> Record:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Unreadable(place, f"not UTF-8 ({error})")
    except (ValueError, RecursionError) as error:  # the second: brackets nested a thousand deep
        return Unreadable(place, f"not JSON ({error})")
    if not isinstance(row, dict):
        return Unreadable(place, f"a JSON {type(row).__name__}, not an object with `text`")
    return _from_row(row, place)


def _from_row(row: dict[str, Any], place: str) -> Record:
    if "text" not in row:
        return Unreadable(place, f"no `text` (it has {', '.join(row) or 'nothing'})"[:200])
    content = row["text"]
    if not isinstance(content, str):
        return Unreadable(place, f"`text` is a {type(content).__name__}, not a string")
    try:
        content.encode()
    except UnicodeEncodeError as error:  # JSON may hold half a surrogate pair ("\ud83d"), UTF-8 may not
        return Unreadable(place, f"`text` is not Unicode text ({error})")
    title, origin = row.get("title"), row.get("source")
    return Document(content, title if isinstance(title, str) else "", origin if isinstance(origin, str) else "")


def _lines(raw: BinaryIO, file: Path) -> Iterator[bytes]:
    """The lines of a file, decompressed as its name says, line ends kept."""
    try:
        if file.suffix == ".gz":
            with gzip.GzipFile(fileobj=raw) as content:
                yield from content
        elif file.suffix == ".zst":
            yield from _split_lines(_decompressed_zst(raw))
        else:
            yield from raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UserError(f"{file}: compressed file cut off or damaged ({error})") from error


def _decompressed_zst(raw: BinaryIO) -> Iterator[bytes]:
    """Content of all frames of a .zst file. Not by `stream_reader`, which takes a cut-off frame for whole."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_LONGEST_WINDOW)
    frame = None
    try:
        while chunk := raw.read(_CHUNK):
            while chunk:
                frame = frame or decompressor.decompressobj()
                yield frame.decompress(chunk)
                chunk = frame.unused_data
                frame = None if frame.eof else frame
    except zstandard.ZstdError as error:
        raise EOFError(str(error)) from error
    if frame is not None:
        raise EOFError("the last frame has no end")


def _split_lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    begun = b""
    for chunk in chunks:
        *whole, begun = (begun + chunk).split(b"\n")
        for line in whole:
            yield line + b"\n"
    if begun:
        yield begun
