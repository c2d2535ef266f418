"""Any text in a file of any kind: the documents are what was written, however files are divided and compressed."""

import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.text.strategies import VALUES, is_unicode, result_or_line, texts

from anaume.corpus import lines, rows, storage
from anaume.corpus.document import Document
from anaume.corpus.readers import Reading, documents, parts, read
from anaume.corpus.source import Source
from anaume.errors import UserError


def source(path: Path | str, **more: object) -> Source:
    return Source.model_validate({"path": str(path), "bad_lines": 1.0, **more})


def readable(path: Path | str, **more: object) -> tuple[list[Document], Reading]:
    """The documents of a source, and what all its parts counted."""
    own, total = [], Reading()
    for part in parts(source(path, **more)):
        reading = Reading()
        own += list(read(part, reading))
        for name in ("lines", "bad_lines", "empty_documents"):
            setattr(total, name, getattr(total, name) + getattr(reading, name))
    return own, total


@dataclass(frozen=True)
class Row:
    """A row as a corpus holds it; null in place of a title is no title."""

    text: str
    title: str | None
    source: str | None

    @property
    def document(self) -> Document:
        title, origin = (note if note and is_unicode(note) else "" for note in (self.title, self.source))
        return Document(self.text, title, origin)


def rows_of(*, surrogates: bool = False) -> st.SearchStrategy[list[Row]]:
    note = st.none() | texts(surrogates=surrogates, max_size=2)
    return st.lists(st.builds(Row, texts(surrogates=surrogates), note, note), min_size=1, max_size=6)


def expected(content: Sequence[Row]) -> list[Document]:
    """The documents that rows make: those whose text is Unicode and not blank."""
    return [row.document for row in content if is_unicode(row.text) and row.text and not row.text.isspace()]


def as_lines(content: Sequence[Row], *, ascii_only: bool, end: str, mark: str) -> list[bytes]:
    """JSON lines; half a surrogate pair is written as an escape, because UTF-8 cannot hold it."""
    return [
        (mark + json.dumps(vars(row), ensure_ascii=ascii_only or not is_unicode("".join(map(str, vars(row).values()))))
         + end).encode()
        for row in content
    ]  # fmt: skip


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": lambda content: content,
    ".gz": lambda content: gzip.compress(content, 1),
    ".zst": lambda content: zstandard.compress(content, 1),
}


@given(
    content=rows_of(surrogates=True),
    kind=st.sampled_from([".jsonl", ".ndjson"]),
    packing=st.sampled_from(sorted(PACKED)),
    ascii_only=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\n"]),
    mark=st.sampled_from(["", "\ufeff"]),
)
def test_json_lines_give_their_texts(
    content: list[Row], kind: str, packing: str, ascii_only: bool, end: str, mark: str, tmp_path: Path
) -> None:
    """Each line is a gzip member or a frame of its own."""
    packed = map(PACKED[packing], as_lines(content, ascii_only=ascii_only, end=end, mark=mark))
    (tmp_path / f"a{kind}{packing}").write_bytes(b"".join(packed))
    read_documents, reading = readable(tmp_path / f"a{kind}{packing}")
    assert read_documents == expected(content)
    unreadable = sum(not is_unicode(row.text) for row in content)
    assert (reading.lines, reading.bad_lines) == (len(content), unreadable)
    assert reading.empty_documents == len(content) - unreadable - len(read_documents)
    (tmp_path / f"a{kind}{packing}").unlink()


COLUMNS = {
    "string": pa.string(),
    "large": pa.large_string(),
    "view": pa.string_view(),
    "binary": pa.binary(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()),
}


@given(
    content=rows_of(),
    column=st.sampled_from(sorted(COLUMNS)),
    options=st.fixed_dictionaries(
        {
            "row_group_size": st.integers(1, 4),
            "compression": st.sampled_from(["none", "snappy", "zstd"]),
            "use_dictionary": st.booleans(),
            "data_page_size": st.sampled_from([1, 100, 1 << 20]),
        }
    ),
    limit=st.sampled_from([300, 1000, 1 << 30]),
)
def test_tables_give_their_texts(
    content: list[Row], column: str, options: dict[str, object], limit: int, tmp_path: Path
) -> None:
    texts_of_rows = pa.array([row.text for row in content], pa.string())
    table = pa.table(
        {
            "title": pa.array([row.title for row in content], pa.string()),
            "text": texts_of_rows.cast(COLUMNS[column])
            if column != "dictionary"
            else texts_of_rows.dictionary_encode(),
            "source": pa.array([row.source for row in content], pa.string()),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet", **options)
    with pa.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=options["row_group_size"])
    for name in ("a.parquet", "a.arrow"):
        with patch.object(storage, "PIECE", limit):
            read_documents, reading = readable(tmp_path / name)
        assert read_documents == expected(content)
        assert (reading.lines, reading.bad_lines) == (len(content), 0)


@given(text=texts(), packing=st.sampled_from(sorted(PACKED)))
def test_a_text_file_gives_its_text(text: str, packing: str, tmp_path: Path) -> None:
    """Only a byte order mark at its start is left out."""
    (tmp_path / f"a.txt{packing}").write_bytes(PACKED[packing](text.encode()))
    read_documents, reading = readable(tmp_path / f"a.txt{packing}")
    text = text.removeprefix("\ufeff")
    assert read_documents == ([Document(text, "a")] if text and not text.isspace() else [])
    assert reading.lines == 1


@contextmanager
def limits(longest: int, block: int, piece: int) -> Iterator[None]:
    """Short limits in place of megabytes."""
    with (
        patch.object(lines, "MAX_BYTES", longest),
        patch.object(rows, "MAX_BYTES", longest),
        patch.object(lines, "_BLOCK", block),
        patch.object(storage, "PIECE", piece),
    ):
        yield


LIMITS = st.tuples(st.integers(1, 100), st.integers(1, 50), st.integers(20, 200))


@given(content=st.lists(texts(), max_size=8).map("\n".join), limit=LIMITS)
def test_each_line_of_a_text_file_is_a_document(content: str, limit: tuple[int, int, int], tmp_path: Path) -> None:
    """Lines end at a line feed alone. A line that is too long is counted, and those around it are read."""
    (tmp_path / "a.txt").write_bytes(content.encode())
    with limits(*limit):
        read_documents, reading = readable(tmp_path / "a.txt", documents="lines")
    every = [line.removeprefix("\ufeff") for line in content.split("\n")]
    sizes = [len(line.encode()) + (number < len(every)) for number, line in enumerate(content.split("\n"), 1)]
    short = [line for line, size in zip(every, sizes, strict=True) if size <= limit[0]]
    assert [document.text for document in read_documents] == [
        line.rstrip("\r") for line in short if line and not line.isspace()
    ]
    assert reading.bad_lines == len(every) - len(short)


LINES: st.SearchStrategy[bytes] = st.one_of(
    rows_of(surrogates=True).map(lambda content: b"".join(as_lines(content, ascii_only=False, end="\n", mark=""))),
    VALUES.map(lambda value: json.dumps(value).encode() + b"\n"),
    st.binary(max_size=60),
)


@given(
    content=st.lists(LINES, min_size=1, max_size=4),
    cut=st.integers(0, 4),
    limit=LIMITS,
    kind=st.sampled_from([".jsonl", ".txt"]),
)
def test_pieces_and_files_give_the_documents_of_the_whole(
    content: list[bytes], cut: int, limit: tuple[int, int, int], kind: str, tmp_path: Path
) -> None:
    """Any bytes at all, in one file, in pieces, or in two files of which the first ends with a line."""
    folder = tmp_path / kind
    folder.mkdir(exist_ok=True)
    first = b"".join(content[:cut])
    first += b"" if not first or first.endswith(b"\n") else b"\n"
    (tmp_path / f"a{kind}").write_bytes(first + b"".join(content[cut:]))
    (folder / f"0{kind}").write_bytes(first)
    (folder / f"1{kind}").write_bytes(b"".join(content[cut:]))
    with limits(limit[0], limit[1], 1 << 30):
        whole, counted = readable(tmp_path / f"a{kind}", documents="lines")
    with limits(*limit):
        assert readable(tmp_path / f"a{kind}", documents="lines") == (whole, counted)
        divided, counted_apart = readable(folder, documents="lines")
    assert [document.text for document in divided] == [document.text for document in whole]
    assert counted_apart == counted


@given(data=st.data(), content=rows_of(), kind=st.sampled_from([".jsonl.gz", ".jsonl.zst", ".parquet", ".arrow"]))
def test_a_file_that_is_cut_off_is_an_error(data: st.DataObject, content: list[Row], kind: str, tmp_path: Path) -> None:
    """Of a packed file or a table, no beginning passes for the whole."""
    whole = packed_rows(content, kind)
    (tmp_path / f"a{kind}").write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(UserError, match=str(tmp_path)):
        list(documents(source(tmp_path / f"a{kind}")))


@given(
    data=st.data(), content=rows_of(), kind=st.sampled_from([".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet", ".arrow"])
)
def test_a_damaged_file_gives_documents_or_one_line(
    data: st.DataObject, content: list[Row], kind: str, tmp_path: Path
) -> None:
    damaged = bytearray(packed_rows(content, kind))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / f"a{kind}").write_bytes(damaged)
    read_documents = result_or_line(lambda: list(documents(source(tmp_path / f"a{kind}"))))
    if not isinstance(read_documents, str):
        assert all(is_unicode(document.text + document.title + document.source) for document in read_documents)
        if kind.endswith(".gz"):
            assert read_documents == expected(content)


def packed_rows(content: Sequence[Row], kind: str) -> bytes:
    """The bytes of a file of rows."""
    table = pa.Table.from_pylist(
        [vars(row) for row in content], pa.schema(dict.fromkeys(vars(content[0]), pa.string()))
    )
    sink = pa.BufferOutputStream()
    if kind == ".parquet":
        pq.write_table(table, sink, write_page_checksum=True, row_group_size=3)
    elif kind == ".arrow":
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
    else:
        return PACKED[kind.removeprefix(".jsonl")](b"".join(as_lines(content, ascii_only=True, end="\n", mark="")))
    return bytes(sink.getvalue())
