"""Folders, data sets that were saved to disk, and files of every kind give their documents."""

import gzip
import json
import logging
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from anaume.corpus.readers import Reading, documents, parse_source, parts, read
from anaume.errors import UserError


def lines(*texts: str, field: str = "text") -> bytes:
    return "".join(json.dumps({field: text}) + "\n" for text in texts).encode()


def texts(path: Path | str, **options: object) -> list[str]:
    return [document.text for document in documents(parse_source(str(path), **options))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / ".hidden").mkdir()
    (tmp_path / "data" / "a.ndjson").write_bytes(lines("a"))
    (tmp_path / "data" / "B.JSONL").write_bytes(lines("B"))
    (tmp_path / "data" / "sub" / "c.json.gz").write_bytes(gzip.compress(lines("c")))
    (tmp_path / "data" / "sub" / "d.txt.gz").write_bytes(gzip.compress(b"d\nd"))
    (tmp_path / "data" / "sub" / "settings.json").write_text("{}")
    (tmp_path / "data" / ".hidden" / "e.jsonl").write_bytes(lines("e"))
    return tmp_path / "data"


def test_a_folder_is_a_corpus(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert texts(folder) == ["B", "a", "c", "d\nd"]
    assert caplog.messages == [f"{folder}: files of other kinds, left out: 1 (sub/settings.json)"]
    assert texts(f"{folder}/sub/*.gz") == ["c", "d\nd"]
    assert [part.name for part in parts(parse_source(str(folder)))] == [
        part.name for part in parts(parse_source(f"{folder}/"))
    ]


def test_a_folder_without_text(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="matches no file; expected a path, URL, folder or glob"):
        texts(tmp_path)
    (tmp_path / "a.csv").touch()
    with pytest.raises(UserError, match=r"matches .*a\.csv, a file of another kind; expected a path"):
        texts(tmp_path)


def test_the_text_may_have_another_name(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines("a", field="content"))
    pq.write_table(pa.table({"content": ["b"], "text": [1]}), tmp_path / "b.parquet")
    assert texts(tmp_path, text_field="content") == ["a", "b"]
    with pytest.raises(UserError, match=r"no `text` \(it has content\); `text_field` names another field"):
        texts(tmp_path / "a.jsonl")
    with pytest.raises(UserError, match=r"columns content, text; expected one named `body` \(text_field\)"):
        texts(tmp_path / "b.parquet", text_field="body")


def test_a_data_set_saved_to_disk(tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"text": ["a", "b", "c", "d"], "title": ["A", None, "C", "D"]})
    rows.select([3, 0, 1]).save_to_disk(tmp_path / "one", num_shards=2)
    (tmp_path / "one" / "cache-1234.arrow").write_bytes(b"left by map()")
    assert texts(tmp_path / "one") == ["d", "a", "b"]
    splits = datasets.DatasetDict({"train": rows.select([0]), "test": rows.select([1])})
    splits.save_to_disk(tmp_path / "both")
    assert texts(tmp_path / "both") == ["a"]
    assert texts(tmp_path / "both", split="test") == ["b"]
    with pytest.raises(UserError, match=r"both: no split 'dev'; expected split = 'train' or 'test'"):
        texts(tmp_path / "both", split="dev")


def test_damaged_arrow_files(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["a" * 1000] * 50}).save_to_disk(tmp_path / "set")
    (file,) = (tmp_path / "set").glob("*.arrow")
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], b"no arrow file at all"):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r"\.arrow: cannot be read as an Arrow stream \(.*\)$"):
            texts(tmp_path / "set")
    file.unlink()
    with pytest.raises(UserError, match=r"\.arrow: No such file or directory; expected a file of the data set"):
        texts(tmp_path / "set")
    (tmp_path / "set" / "state.json").write_text("[1")
    with pytest.raises(UserError, match=r"state\.json: not what `save_to_disk` writes"):
        texts(tmp_path / "set")


BAD = "`text` is not UTF-8 (invalid start byte at byte 0)"


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("dictionary", [False, True])
def test_one_row_of_a_parquet_file_is_not_utf_8(tmp_path: Path, kind: pa.DataType, dictionary: bool) -> None:
    values = pa.array([b"a", "猫".encode(), b"\x8c\xe9", b"b"] * 50, pa.binary())
    if kind == pa.string():
        column = pa.Array.from_buffers(kind, len(values), values.buffers())
    elif kind == pa.large_string():
        large = values.cast(pa.large_binary())
        column = pa.Array.from_buffers(kind, len(large), large.buffers())
    else:
        column = values.cast(kind)
    if dictionary:
        column = column.dictionary_encode()
    pq.write_table(pa.table({"text": column, "title": column}), tmp_path / "a.parquet", row_group_size=30)
    (part,) = parts(parse_source(str(tmp_path / "a.parquet"), bad_lines=0.5))
    reading = Reading()
    assert [document.text for document in read(part, reading)] == ["a", "猫", "b"] * 50
    assert (reading.lines, reading.bad_lines) == (200, 50)
    assert reading.first_bad[:2] == [f"{tmp_path}/a.parquet:{row}: {BAD}" for row in (3, 7)]


@pytest.mark.parametrize("name", [b"\x94\x4c.jsonl", "長".encode() * 79 + b".jsonl", "😀".encode() * 62 + b".txt"])
def test_names_that_are_not_utf_8_or_long(tmp_path: Path, name: bytes) -> None:
    path = bytes(tmp_path) + b"/" + name
    with open(path, "wb") as file:  # noqa: PTH123
        file.write(lines("a") + b"oops\n")
    source = parse_source(f"{tmp_path}/*", bad_lines=0.5)
    (part,) = parts(source)
    reading = Reading()
    assert len(list(read(part, reading))) == 1
    assert len(part.name.encode()) < 200
    for text in (part.name, str(part.files[0]), *reading.first_bad):
        text.encode()
