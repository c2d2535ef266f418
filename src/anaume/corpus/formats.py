"""One input file or a piece of it, or one Hub data set → records: a Document if readable, otherwise Unreadable.

Each reader here takes a `behind` callback, told from time to time how many bytes of the piece are behind.
What makes a whole file useless (cut off, damaged, no text column) is a UserError; what makes a line useless
is an Unreadable, which the caller counts. A file that can't be got at is an OSError.
"""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from anaume.corpus import storage
from anaume.corpus.document import Document
from anaume.corpus.source import Source
from anaume.corpus.storage import File, reason
from anaume.errors import UserError

Behind = Callable[[int], None]

_CHUNK = 1 << 17  # bytes of a .zst file taken at a time: unpacked, they may be a hundred times as many
_BUFFER = 1 << 20  # bytes of a Parquet column taken at a time
_ROWS = 64  # rows of a .parquet file held at a time: there are texts of a million characters
_LONGEST_WINDOW = 1 << 31  # what `zstd --long=31` writes; the library's own limit is 128 MiB


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A line that gives no document: `place` is file and line number (in a piece of a file: the byte where the line
    begins), `reason` what is wrong with it.
    """

    place: str
    reason: str


Record = Document | Unreadable


def jsonl(file: File, behind: Behind) -> Iterator[Record]:
    """A record for each line that isn't blank of a .jsonl, .jsonl.gz or .jsonl.zst file, or of a piece of the first.

    Raises:
        UserError: the compressed file is cut off or damaged.
    """
    with storage.open(file, seekable=file.begin > 0) as raw:
        lines = _numbered_lines(raw, file) if file.is_whole else _lines_of_piece(raw, file)
        for place, line in lines:
            if not line.isspace():
                yield _from_line(line, place)
            behind(raw.tell() - file.begin)


def text(file: File, behind: Behind) -> Iterator[Record]:
    """The one record of a .txt file, which is one document titled with the file's name."""
    with storage.open(file) as raw:
        content = raw.read()
    try:
        yield Document(content.decode("utf-8-sig"), title=PurePosixPath(file.base).stem)
    except UnicodeDecodeError as error:
        yield Unreadable(str(file), f"not UTF-8 ({error})")
    behind(len(content))


def parquet(file: File, behind: Behind) -> Iterator[Record]:
    """A record for each row of a .parquet file, or of those row groups that begin in a piece of it.

    Raises:
        UserError: not a Parquet file, a damaged one, or one without a `text` column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with (
            storage.open(file, seekable=True) as raw,
            # Page after page, for a row group may be larger than memory.
            pq.ParquetFile(raw, buffer_size=_BUFFER, pre_buffer=False, page_checksum_verification=True) as table,
        ):
            names = table.schema_arrow.names
            _need_text_column(names, str(file))
            groups, number = _row_groups(table.metadata, file)
            rows = sum(table.metadata.row_group(group).num_rows for group in groups)
            done = 0
            for batch in table.iter_batches(_ROWS, groups, [n for n in ("text", "title", "source") if n in names]):
                for row in batch.to_pylist():
                    done += 1
                    yield _from_row(row, f"{file}:{number + done}")
                behind((file.end - file.begin) * done // rows)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: can't be read as Parquet ({reason(error)})") from error


def _row_groups(metadata: Any, file: File) -> tuple[list[int], int]:
    """The row groups whose first byte lies in the piece, and the number of rows before them."""
    groups, before = [], 0
    for group in range(metadata.num_row_groups):
        column = metadata.row_group(group).column(0)
        first_byte = column.dictionary_page_offset or column.data_page_offset
        if file.is_whole or file.begin <= first_byte < file.end:
            groups.append(group)
        elif not groups:
            before += metadata.row_group(group).num_rows
    return groups, before


def hub(source: Source) -> Iterator[Record]:
    """A record for each row of a data set on the Hugging Face Hub (or in a local folder), streamed.

    Raises:
        UserError: no such data set, subset or split, no way to reach it, no `text` column in it, or it broke off.
    """
    from datasets import load_dataset

    try:
        rows = load_dataset(source.hub, source.subset or None, split=source.split, streaming=True)
        for number, row in enumerate(rows, 1):
            if number == 1:
                _need_text_column(list(row), str(source))
            yield _from_row(row, f"{source}:{number}")
    except UserError:
        raise
    except Exception as error:  # of the network, of a decompressor, of any of the formats on the Hub
        raise UserError(f"corpus {source}: {(str(error).splitlines() or [type(error).__name__])[0]}") from error


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


def _numbered_lines(raw: BinaryIO, file: File) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(_lines(raw, file), 1):
        # The byte order mark that Windows editors write
        yield f"{file}:{number}", line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _lines_of_piece(raw: BinaryIO, file: File) -> Iterator[tuple[str, bytes]]:
    """The lines that begin in a piece. How many lines are before it isn't known: each is named by its first byte."""
    at = file.begin
    if file.begin:
        raw.seek(file.begin - 1)
        at += len(raw.readline()) - 1  # the rest of a line that began before
    for line in raw:
        if at >= file.end:
            return
        yield f"{file}, byte {at}", line.removeprefix(b"\xef\xbb\xbf") if at == 0 else line
        at += len(line)


def _lines(raw: BinaryIO, file: File) -> Iterator[bytes]:
    """The lines of a file, decompressed as its name says, line ends kept."""
    try:
        if file.base.endswith(".gz"):
            with gzip.GzipFile(fileobj=raw) as content:
                yield from content
        elif file.base.endswith(".zst"):
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
