"""A file, a piece of a file or a Hub data set → a Document for each readable row, an Unreadable for each other row.

Each reader of files calls `report_position` from time to time with the number of bytes of the piece read so far.
A file that is useless as a whole (cut off, damaged, without a text column) raises UserError; a useless line gives an
Unreadable, which the caller counts; a file that cannot be opened or reached, or that has changed, raises OSError.
"""

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from anaume.corpus import hub, storage
from anaume.corpus.document import Document, Unreadable
from anaume.corpus.lines import MAX_BYTES, UTF_8, ReportPosition, decode, is_splittable, read_lines, unpacked
from anaume.corpus.rows import optional_text, parse_object, text_field
from anaume.corpus.source import Source
from anaume.corpus.storage import File, reason
from anaume.errors import UserError

Reader = Callable[[File, Source, ReportPosition], Iterator[Document | Unreadable]]

_PARQUET_BUFFER = 1 << 20  # bytes of a Parquet column read at a time
_PARQUET_ROWS = 64  # rows in memory at a time, because a text may have a million characters
_MOST_UNPACKED = 256 << 20  # bytes of a column of a row group that packs better than any text
_MOST_PACKING = 100  # unpacked bytes for each byte on disk; zstd packs Japanese text to a fifth


def read_jsonl(file: File, source: Source, report_position: ReportPosition) -> Iterator[Document | Unreadable]:
    """Read a file of JSON lines, packed or not, or a piece of one. Blank lines are skipped.

    Raises:
        UserError: The compressed file is cut off or damaged.
    """
    for line in read_lines(file, source.encoding, report_position):
        if isinstance(line, Unreadable):
            yield line
            continue
        try:
            row = parse_object(line.text)
        except ValueError as error:
            yield Unreadable(line.place, str(error))
        else:
            yield _from_row(row, source, line.place)


def read_text_lines(file: File, source: Source, report_position: ReportPosition) -> Iterator[Document | Unreadable]:
    """Read each line of a .txt file, packed or not, as a document without its line end. Blank lines are skipped.

    Raises:
        UserError: The compressed file is cut off or damaged.
    """
    for line in read_lines(file, source.encoding, report_position):
        yield line if isinstance(line, Unreadable) else Document(line.text.rstrip("\r\n"), title=_title(file))


def read_text(file: File, source: Source, report_position: ReportPosition) -> Iterator[Document | Unreadable]:
    """Read a .txt file, packed or not, as one document, whose title is the file's name without the extension.

    Raises:
        UserError: The compressed file is cut off or damaged.
    """
    with unpacked(file, source.encoding) as (stream, _):
        content = stream.read(MAX_BYTES + 1)
        text: str | Unreadable = Unreadable(
            str(file), f'a document of more than {MAX_BYTES:,} bytes; documents = "lines" makes each line a document'
        )
        if len(content) <= MAX_BYTES:
            text = decode(content, str(file), source.encoding if is_splittable(source.encoding) else UTF_8)
    yield text if isinstance(text, Unreadable) else Document(text, title=_title(file))
    report_position(file.size)


def _title(file: File) -> str:
    return storage.printable(file.base).partition(".txt")[0]


def read_parquet(file: File, source: Source, report_position: ReportPosition) -> Iterator[Document | Unreadable]:
    """Read the rows of a .parquet file, or of the row groups that begin in a piece of it.

    Raises:
        UserError: The file is no Parquet file, is damaged, has no column of the source's `text_field`, or
            `check_unpacked_size` refuses it.
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
            columns = _columns(table.schema_arrow.names, source, str(file))
            check_unpacked_size(table.metadata, str(file), columns)
            groups, rows_before = _row_groups(table.metadata, file)
            # A dictionary may hold one long text for all rows, which would be copied for each of them.
            at_a_time = 1 if _suspicious(table.metadata, columns) else _PARQUET_ROWS
            row_count = sum(table.metadata.row_group(group).num_rows for group in groups)
            name, rows_read = str(file), 0
            for batch in table.iter_batches(at_a_time, groups, columns):
                for row in _rows_of_batch(batch):
                    rows_read += 1
                    yield _from_row(row, source, f"{name}:{rows_before + rows_read}")
                report_position((file.end - file.begin) * rows_read // row_count)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as Parquet ({reason(error)})") from error


def check_unpacked_size(metadata: Any, place: str, columns: Collection[str] | None = None) -> None:
    """Check that no column of a Parquet file unpacks to gigabytes from a few bytes; by default, check all columns.

    A page is unpacked as a whole, so such a file would fill the memory.

    Raises:
        UserError: The message begins with `place`, and names the row group and the column.
    """
    for group, chunk in _suspicious(metadata, columns):
        if chunk.total_uncompressed_size > _MOST_UNPACKED:
            raise UserError(
                f"{place}: row group {group}: `{chunk.path_in_schema}` unpacks from {chunk.total_compressed_size:,} to"
                f" {chunk.total_uncompressed_size:,} bytes; expected at most {_MOST_UNPACKED:,}, or {_MOST_PACKING}"
                " times its size"
            )


def _suspicious(metadata: Any, columns: Collection[str] | None) -> list[tuple[int, Any]]:
    """Return row group and column chunk where a column packs better than any text; None stands for all columns."""
    chunks = (
        (group, metadata.row_group(group).column(column))
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    return [
        (group, chunk)
        for group, chunk in chunks
        if columns is None or chunk.path_in_schema.partition(".")[0] in columns
        if chunk.total_uncompressed_size > _MOST_PACKING * chunk.total_compressed_size
    ]


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


def read_arrow(file: File, source: Source, report_position: ReportPosition) -> Iterator[Document | Unreadable]:
    """Read an .arrow file, which is a stream of record batches, as the library datasets writes it.

    Raises:
        UserError: The file is no Arrow stream, is damaged or has no column of the source's `text_field`.
    """
    import pyarrow as pa

    try:
        with storage.open_file(file) as raw, pa.ipc.open_stream(raw) as batches:
            columns = _columns(batches.schema.names, source, str(file))
            name, rows_read = str(file), 0
            for batch in batches:
                for row in _rows_of_batch(batch.select(columns)):
                    rows_read += 1
                    yield _from_row(row, source, f"{name}:{rows_read}")
                report_position(raw.tell())
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read as an Arrow stream ({reason(error)})") from error


def _rows_of_batch(batch: Any) -> Iterator[dict[str, Any]]:
    """Yield the rows of a record batch; texts are bytes, so that one that is not UTF-8 spoils its row only."""
    import pyarrow as pa

    columns = []
    for column in batch.columns:
        values = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
        is_text = any(
            test(values.type) for test in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
        )
        columns.append((values.cast(pa.large_binary()) if is_text else values).to_pylist())
    for row in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, row, strict=True))


def read_hub(source: Source) -> Iterator[Document | Unreadable]:
    """Stream the rows of a data set on the Hugging Face Hub or in a local folder.

    Raises:
        UserError: The data set, subset or split does not exist, cannot be reached, has no column of the source's
            `text_field` or breaks off.
    """
    check_hub(source)
    from datasets import load_dataset

    try:
        rows = load_dataset(source.hub, source.subset or None, split=source.split, streaming=True)
        for number, row in enumerate(rows, 1):
            if number == 1:
                _columns(list(row), source, str(source))
            yield _from_row(row, source, f"{source}:{number}")
    except UserError:
        raise
    except Exception as error:  # The network, decompressors and the Hub's many formats share no class of errors.
        raise UserError(f"corpus {source}: {(str(error).splitlines() or [type(error).__name__])[0]}") from error


def check_hub(source: Source) -> None:
    """Check that the Hub has a data set of which nothing is in the cache.

    Raises:
        UserError: it has not, or it can't be reached.
    """
    if not Path(source.hub).exists() and (reason := hub.problem(source.hub, "dataset")):
        raise UserError(f"corpus {source}: {reason}; expected the id of a data set, or a local folder")


def _columns(names: list[str], source: Source, place: str) -> list[str]:
    """Return the names of the columns that make a document.

    Raises:
        UserError: There is no column of the source's `text_field`.
    """
    if source.text_field not in names:
        raise UserError(f"{place}: columns {', '.join(names)}; expected one named `{source.text_field}` (text_field)")
    return [name for name in names if name in {source.text_field, "title", "source"}]


def _from_row(row: dict[str, Any], source: Source, place: str) -> Document | Unreadable:
    try:
        text = text_field(row, source.text_field)
    except ValueError as error:
        hint = "" if source.text_field in row else "; `text_field` names another field"
        return Unreadable(place, f"{error}{hint}")
    return Document(text, _note(row, "title"), _note(row, "source"))


def _note(row: dict[str, Any], key: str) -> str:
    """Return a text that a document can do without, or "" where the row has none that can be read."""
    try:
        return optional_text(row, key)
    except ValueError:
        return ""
