"""A file, a piece of a file or a Hub data set → a Document for each readable row, an Unreadable for each other row.

Each reader of files calls `report_position` from time to time with the number of bytes of the piece read so far.
A file that is useless as a whole (cut off, damaged, without a text column) raises UserError; a useless line gives an
Unreadable, which the caller counts; a file that cannot be opened or reached raises OSError.
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

ReportPosition = Callable[[int], None]

_ZST_CHUNK = 1 << 17  # compressed bytes read at a time: unpacked, they may be a hundred times as many
_PARQUET_BUFFER = 1 << 20  # bytes of a Parquet column read at a time
_PARQUET_ROWS = 64  # rows in memory at a time, because a text may have a million characters
_ZST_MAX_WINDOW = 1 << 31  # the window of `zstd --long=31`; the library's own limit is 128 MiB


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that gives no document, and the reason.

    `place` is the file with the line number, or with the byte where the line begins if only a piece of it is read.
    """

    place: str
    reason: str


def read_jsonl(file: File, report_position: ReportPosition) -> Iterator[Document | Unreadable]:
    """Read a .jsonl, .jsonl.gz or .jsonl.zst file, or a piece of a .jsonl file. Blank lines are skipped.

    Raises:
        UserError: The compressed file is cut off or damaged.
    """
    with storage.open_file(file, seekable=file.begin > 0) as raw:
        lines = _numbered_lines(raw, file) if file.is_whole else _lines_of_piece(raw, file)
        for place, line in lines:
            if not line.isspace():
                yield _from_line(line, place)
            report_position(raw.tell() - file.begin)


def read_text(file: File, report_position: ReportPosition) -> Iterator[Document | Unreadable]:
    """Read a .txt file as one document, whose title is the file's name without the extension."""
    with storage.open_file(file) as raw:
        content = raw.read()
    try:
        yield Document(content.decode("utf-8-sig"), title=PurePosixPath(file.base).stem)
    except UnicodeDecodeError as error:
        yield Unreadable(str(file), f"not UTF-8 ({error})")
    report_position(len(content))


def read_parquet(file: File, report_position: ReportPosition) -> Iterator[Document | Unreadable]:
    """Read the rows of a .parquet file, or of the row groups that begin in a piece of it.

    Raises:
        UserError: The file is no Parquet file, is damaged or has no `text` column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with (
            storage.open_file(file, seekable=True) as raw,
            # The file is read page by page, because a row group may be larger than memory.
            pq.ParquetFile(
                raw, buffer_size=_PARQUET_BUFFER, pre_buffer=False, page_checksum_verification=True
            ) as table,
        ):
            names = table.schema_arrow.names
            _need_text_column(names, str(file))
            groups, rows_before = _row_groups(table.metadata, file)
            row_count = sum(table.metadata.row_group(group).num_rows for group in groups)
            columns = [name for name in ("text", "title", "source") if name in names]
            rows_read = 0
            for batch in table.iter_batches(_PARQUET_ROWS, groups, columns):
                for row in batch.to_pylist():
                    rows_read += 1
                    yield _from_row(row, f"{file}:{rows_before + rows_read}")
                report_position((file.end - file.begin) * rows_read // row_count)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as Parquet ({reason(error)})") from error


def _row_groups(metadata: Any, file: File) -> tuple[list[int], int]:
    """Return the indices of the row groups whose first byte lies in the piece, and the number of rows before them."""
    groups, rows_before = [], 0
    for group in range(metadata.num_row_groups):
        column = metadata.row_group(group).column(0)
        first_byte = column.dictionary_page_offset or column.data_page_offset
        if file.is_whole or file.begin <= first_byte < file.end:
            groups.append(group)
        elif not groups:
            rows_before += metadata.row_group(group).num_rows
    return groups, rows_before


def read_hub(source: Source) -> Iterator[Document | Unreadable]:
    """Stream the rows of a data set on the Hugging Face Hub or in a local folder.

    Raises:
        UserError: The data set, subset or split does not exist, cannot be reached, has no `text` column or breaks off.
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
    except Exception as error:  # The network, decompressors and the Hub's many formats share no class of errors.
        raise UserError(f"corpus {source}: {(str(error).splitlines() or [type(error).__name__])[0]}") from error


def _need_text_column(names: list[str], place: str) -> None:
    if "text" not in names:
        raise UserError(f"{place}: columns {', '.join(names)}; expected one named `text`")


def _from_line(line: bytes, place: str) -> Document | Unreadable:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return Unreadable(place, f"not UTF-8 ({error})")
    except (ValueError, RecursionError) as error:  # RecursionError: brackets nested a thousand deep
        return Unreadable(place, f"not JSON ({error})")
    if not isinstance(row, dict):
        return Unreadable(place, f"a JSON {type(row).__name__}, not an object with `text`")
    return _from_row(row, place)


def _from_row(row: dict[str, Any], place: str) -> Document | Unreadable:
    if "text" not in row:
        return Unreadable(place, f"no `text` (it has {', '.join(row) or 'nothing'})"[:200])
    content = row["text"]
    if not isinstance(content, str):
        return Unreadable(place, f"`text` is a {type(content).__name__}, not a string")
    try:
        content.encode()
    except UnicodeEncodeError as error:  # JSON may hold half a surrogate pair ("\ud83d"), UTF-8 may not.
        return Unreadable(place, f"`text` is not Unicode text ({error})")
    title, source = row.get("title"), row.get("source")
    return Document(content, title if isinstance(title, str) else "", source if isinstance(source, str) else "")


def _numbered_lines(raw: BinaryIO, file: File) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(_lines(raw, file), 1):
        # Windows editors write a byte order mark at the start of a file.
        yield f"{file}:{number}", line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line


def _lines_of_piece(raw: BinaryIO, file: File) -> Iterator[tuple[str, bytes]]:
    """Yield (place, line) for the lines that begin in a piece.

    The place gives a line's first byte, because the number of lines before the piece is unknown.
    """
    line_start = file.begin
    if file.begin:
        raw.seek(file.begin - 1)
        line_start += len(raw.readline()) - 1  # the rest of a line that began in the piece before
    for line in raw:
        if line_start >= file.end:
            return
        yield f"{file}, byte {line_start}", line.removeprefix(b"\xef\xbb\xbf") if line_start == 0 else line
        line_start += len(line)


def _lines(raw: BinaryIO, file: File) -> Iterator[bytes]:
    """Yield the lines of a file with their line ends, decompressed according to the file's extension."""
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
    """Yield the content of all frames of a .zst file. zstandard's `stream_reader` would accept a cut-off frame."""
    import zstandard

    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZST_MAX_WINDOW)
    frame = None
    try:
        while chunk := raw.read(_ZST_CHUNK):
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
    unfinished = b""
    for chunk in chunks:
        *lines, unfinished = (unfinished + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if unfinished:
        yield unfinished
