"""Sources of every kind give their documents; unreadable lines are counted, logged and, past a share, an error."""

import gzip
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from anaume.corpus import formats
from anaume.corpus.document import Document
from anaume.corpus.hakoniwa import stream
from anaume.corpus.readers import Reading, documents, parse_source, parts, read
from anaume.corpus.source import Source
from anaume.errors import UserError

DOCUMENTS = [
    Document("吾輩は猫である。\n名前はまだ無い。", title="猫", source="aozora"),
    Document("  space kept \t", title="", source=""),
    Document("😀𠮷\x00", title="文字", source=""),
]


def as_lines(content: list[Document]) -> bytes:
    rows = ({"text": d.text, "title": d.title, "source": d.source, "other": 1} for d in content)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write_parquet(path: Path, content: list[Document]) -> None:
    columns = {name: [getattr(d, name) for d in content] for name in ("text", "title", "source")}
    pq.write_table(pa.table(columns), path, row_group_size=2)


WRITERS: dict[str, Callable[[Path, list[Document]], Any]] = {
    ".jsonl": lambda path, content: path.write_bytes(as_lines(content)),
    ".jsonl.gz": lambda path, content: path.write_bytes(gzip.compress(as_lines(content))),
    ".jsonl.zst": lambda path, content: path.write_bytes(zstandard.compress(as_lines(content))),
    ".parquet": write_parquet,
}


def source(path: Path | str, **more: Any) -> Source:
    return Source.model_validate({"path": str(path), **more})


def hub(name: Path | str, split: str = "train") -> Source:
    return Source.model_validate({"hub": str(name), "split": split})


def lines(path: Path, *content: bytes) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in content))
    return path


@pytest.mark.parametrize("extension", WRITERS)
def test_each_format_gives_the_documents(tmp_path: Path, extension: str) -> None:
    WRITERS[extension](tmp_path / f"b{extension}", DOCUMENTS)
    assert list(documents(source(tmp_path / f"b{extension}"))) == DOCUMENTS


def test_files_are_read_in_sorted_order(tmp_path: Path) -> None:
    for name, extension in zip("cba", (".jsonl", ".jsonl.gz", ".parquet"), strict=True):
        WRITERS[extension](tmp_path / f"{name}{extension}", [Document(name)])
    assert [d.text for d in documents(source(f"{tmp_path}/*"))] == ["a", "b", "c"]


def test_a_txt_file_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "猫.txt").write_bytes(b"\xef\xbb\xbf" + "一行目\r\n二行目".encode())
    assert list(documents(source(f"{tmp_path}/*.txt"))) == [Document("一行目\r\n二行目", title="猫")]


def test_line_ends_blank_lines_and_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"text": "a"}\r\n\r\n   \n{"text": "b"}')
    reading = Reading()
    assert [d.text for d in read(parts(source(file))[0], reading)] == ["a", "b"]
    assert reading == Reading(lines=2, bytes=file.stat().st_size)


def test_zst_of_several_frames_and_of_long_lines(tmp_path: Path) -> None:
    texts = ["長" * 1_500_000, "短"]
    frames = [zstandard.compress(as_lines([Document(text)])) for text in texts]
    (tmp_path / "a.jsonl.zst").write_bytes(b"".join(frames))
    assert [d.text for d in documents(source(tmp_path / "a.jsonl.zst"))] == texts


def test_skip_and_max_documents_run_through_the_files(tmp_path: Path) -> None:
    for name in "ab":
        WRITERS[".jsonl"](tmp_path / f"{name}.jsonl", DOCUMENTS)
    pattern = f"{tmp_path}/*.jsonl"
    assert list(documents(source(pattern, max_documents=4))) == [*DOCUMENTS, DOCUMENTS[0]]
    assert list(documents(source(pattern, skip_documents=2, max_documents=2))) == [DOCUMENTS[2], DOCUMENTS[0]]
    assert list(documents(source(pattern, skip_documents=5))) == [DOCUMENTS[2]]
    with pytest.raises(UserError, match="no document found"):
        list(documents(source(pattern, skip_documents=6)))


def test_empty_texts_are_counted_and_left_out(tmp_path: Path) -> None:
    file = lines(tmp_path / "a.jsonl", b'{"text": ""}', '{"text": " \\n　"}'.encode(), b'{"text": "a"}')
    reading = Reading()
    assert [d.text for d in read(parts(source(file))[0], reading)] == ["a"]
    assert (reading.empty_documents, reading.bad_lines) == (2, 0)


BAD_LINES = {
    "not JSON": b'{"text": "cut o',
    "not UTF-8": b'{"text": "\xff\xfe"}',
    "no `text` (it has title)": b'{"title": "t"}',
    "`text` is a list, not a string": b'{"text": ["a"]}',
    "`text` is null": b'{"text": null}',
    "a list, not an object": b'["text"]',
    "`text` is not Unicode text": rb'{"text": "\ud83d"}',
    "nested too deeply": b"[" * 100_000,
}


@pytest.mark.parametrize("reason", BAD_LINES)
def test_a_bad_line_is_named_with_file_and_number(tmp_path: Path, reason: str) -> None:
    file = lines(tmp_path / "a.jsonl", b'{"text": "good"}', BAD_LINES[reason])
    with pytest.raises(UserError) as error:
        list(documents(source(file)))
    message = str(error.value)
    assert f"{file}: 1 of 2 lines unreadable, the first {file}:2: " in message
    assert reason in message
    assert "\n" not in message
    assert "expected a share of at most 0.01 (bad_lines)" in message


def test_bad_lines_up_to_the_share_are_logged_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = [b"oops" if i % 100 == 7 else b'{"text": "a"}' for i in range(700)]
    part = parts(source(lines(tmp_path / "a.jsonl", *content)))[0]
    reading = Reading()
    with caplog.at_level(logging.WARNING):
        assert len(list(read(part, reading))) == 693
    assert (reading.lines, reading.bad_lines) == (700, 7)
    assert [record.getMessage().split(": ")[0] for record in caplog.records[:5]] == [
        f"{tmp_path}/a.jsonl:{number}" for number in (8, 108, 208, 308, 408)
    ]
    assert caplog.records[5].getMessage() == f"{tmp_path}/a.jsonl: skipped 7 unreadable lines of 700"
    assert len(caplog.records) == 6


def test_a_hopeless_file_stops_the_job_before_its_end(tmp_path: Path) -> None:
    content = [b"oops" if i % 2 else b'{"text": "a"}' for i in range(5000)]
    reading = Reading()
    with pytest.raises(UserError, match="500 of 1,000 lines unreadable"):
        list(read(parts(source(lines(tmp_path / "a.jsonl", *content)))[0], reading))
    assert reading.lines == 1000


def test_txt_files_are_judged_together(tmp_path: Path) -> None:
    for i in range(100):
        (tmp_path / f"{i:03}.txt").write_bytes(b"\xff" if i == 50 else b"good")
    assert len(list(documents(source(f"{tmp_path}/*.txt")))) == 99
    with pytest.raises(UserError, match=r"1 of 100 lines unreadable, the first .*050\.txt: not UTF-8"):
        list(documents(source(f"{tmp_path}/*.txt", bad_lines=0.0)))


@pytest.mark.parametrize("extension", [".jsonl.gz", ".jsonl.zst", ".parquet"])
@pytest.mark.parametrize("damage", ["cut off", "other bytes"])
def test_a_damaged_file_is_named(tmp_path: Path, extension: str, damage: str) -> None:
    file = tmp_path / f"a{extension}"
    WRITERS[extension](file, [Document(f"{i} " + "text" * (i % 97)) for i in range(3000)])
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if damage == "cut off" else b"no such format" * 100)
    with pytest.raises(UserError, match=rf"^{file}: "):
        list(documents(source(file)))


def test_parquet_without_a_text_column(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["a"], "id": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="columns body, id; expected one named `text`"):
        list(documents(source(tmp_path / "a.parquet")))


def test_parquet_rows_without_text_are_bad_lines(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", None]}), tmp_path / "a.parquet")
    assert [d.text for d in documents(source(tmp_path / "a.parquet", bad_lines=0.5))] == ["a"]
    with pytest.raises(UserError, match=r"1 of 2 lines unreadable, the first .*a\.parquet:2"):
        list(documents(source(tmp_path / "a.parquet")))


def test_globs_that_give_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "sub.jsonl").mkdir()
    (tmp_path / "a.csv").touch()
    (tmp_path / "empty.jsonl").touch()
    for pattern, message in {
        "none*.jsonl": "matches no file; expected a path, URL, folder or glob of .jsonl, ",
        "sub.jsonl": "matches no file; expected ",
        "*.csv": r"matches .*a\.csv, a file of another kind; expected ",
        "empty.jsonl": "no document found; expected ",
    }.items():
        with pytest.raises(UserError, match=message):
            list(documents(source(tmp_path / pattern)))


def test_a_name_with_brackets_is_a_file_where_there_is_one(tmp_path: Path) -> None:
    WRITERS[".jsonl"](tmp_path / "a[1].jsonl", DOCUMENTS)
    assert list(documents(source(tmp_path / "a[1].jsonl"))) == DOCUMENTS


def test_parts_keep_their_names_when_files_are_added(tmp_path: Path) -> None:
    for name in ("b/x.jsonl", "c/x.jsonl", "c/y.txt", "d/z.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    before = parts(source(f"{tmp_path}/**/*.*"))
    assert [len(part.files) for part in before] == [1, 1, 2]
    names = [part.name for part in before]
    assert len(set(names)) == 3
    (tmp_path / "a.jsonl").touch()
    assert [part.name for part in parts(source(f"{tmp_path}/**/*.*"))][1:] == names


def test_builtin_corpus(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def hakoniwa(*arguments: Any) -> Iterator[Document]:
        calls.append(arguments)
        yield from DOCUMENTS

    monkeypatch.setattr(stream, "documents", hakoniwa)
    options = {"builtin": "hakoniwa", "split": "validation", "megabytes": 2.0, "seed": 3, "max_documents": 2}
    assert list(documents(Source.model_validate(options))) == DOCUMENTS[:2]
    assert calls == [("validation", 2.0, 3)]
    with pytest.raises(UserError, match="split 'test'; expected train or validation"):
        list(documents(Source.model_validate({"builtin": "hakoniwa", "split": "test"})))


def test_hub_data_set_is_streamed(tmp_path: Path) -> None:
    WRITERS[".jsonl"](tmp_path / "train.jsonl", DOCUMENTS)
    WRITERS[".jsonl"](tmp_path / "validation.jsonl", DOCUMENTS[:1])
    assert list(documents(hub(tmp_path))) == DOCUMENTS
    assert list(documents(hub(tmp_path, "validation"))) == DOCUMENTS[:1]
    with pytest.raises(UserError, match="nowhere"):
        list(documents(hub(tmp_path, "nowhere")))


def test_hub_data_set_that_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def unreachable(*_: Any, **__: Any) -> None:
        raise ConnectionError("Couldn't reach 'a/b' on the Hub\nmore")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    monkeypatch.setattr(formats, "check_hub", lambda _: None)
    with pytest.raises(UserError, match=r"^corpus hub:a/b:train: Couldn't reach 'a/b' on the Hub$"):
        list(documents(hub("a/b")))


def test_hub_data_set_without_text(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"body": "a"}\n')
    with pytest.raises(UserError, match="columns body; expected one named `text`"):
        list(documents(hub(tmp_path)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("data/*.jsonl.gz", {"path": "data/*.jsonl.gz"}),
        ("a:b.jsonl", {"path": "a:b.jsonl"}),
        ("hub:wikimedia/wikipedia", {"hub": "wikimedia/wikipedia"}),
        ("hub:w/w:20231101.ja", {"hub": "w/w", "subset": "20231101.ja"}),
        ("hub:w/w::test", {"hub": "w/w", "split": "test"}),
        ("hub:w/w:ja:test", {"hub": "w/w", "subset": "ja", "split": "test"}),
        ("builtin:hakoniwa", {"builtin": "hakoniwa"}),
        ('{path = "a", text_field = "content"}', {"path": "a", "text_field": "content"}),
        ('{hub = "w/w", max_documents = 3}', {"hub": "w/w", "max_documents": 3}),
        ("builtin:hakoniwa:validation", {"builtin": "hakoniwa", "split": "validation"}),
    ],
)
def test_sources_on_the_command_line(text: str, expected: dict[str, str]) -> None:
    assert parse_source(text) == Source.model_validate(expected)


@pytest.mark.parametrize("text", ["", "hub:", "hub", "hub:a:b:c:d", "builtin:garden", "builtin:hakoniwa:a:b"])
def test_no_source_on_the_command_line(text: str) -> None:
    with pytest.raises(UserError, match=r"not a source; expected a path, URL, folder or glob of \.jsonl"):
        parse_source(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{path = a}", r"^corpus \{path = a\}: not a table of TOML \(.*\); expected \{path = "),
        ("{glob = 'a'}", "glob: unknown key; expected path, hub, "),
        ("{path = 3}", "path: Input should be a valid string"),
        ("{}", "no origin; expected one of path, hub"),
    ],
)
def test_tables_on_the_command_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_source(text)


@pytest.mark.parametrize("compression", ["snappy", "none"])
def test_damaged_pages_of_a_parquet_file_are_found(tmp_path: Path, compression: str) -> None:
    file = tmp_path / "a.parquet"
    table = pa.table({"text": [f"{i} 番目の文書。" for i in range(3000)]})
    pq.write_table(table, file, compression=compression, use_dictionary=False, write_page_checksum=True)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"^{file}: cannot be read as Parquet \(.*\)$"):
        list(documents(source(file)))


def test_a_hub_data_set_that_breaks_off(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "train.jsonl.gz", "wb") as packed:
        packed.write(as_lines([Document(str(i) * 500) for i in range(5000)]))
    content = (tmp_path / "train.jsonl.gz").read_bytes()
    (tmp_path / "train.jsonl.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=rf"^corpus hub:{tmp_path}:train: Compressed file ended before"):
        list(documents(hub(tmp_path)))


def test_a_table_that_unpacks_to_far_more_than_text_does_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One value of a megabyte stands for one of gigabytes, which a page holds as a whole."""
    monkeypatch.setattr(formats, "_MOST_UNPACKED", 1 << 19)
    pq.write_table(pa.table({"text": ["a", "a" * (1 << 20)]}), tmp_path / "a.parquet", compression="zstd")
    expected = (
        r"a\.parquet: row group 0: `text` unpacks from .* to 1,04.* bytes; expected at most 524,288, or 100 times"
    )
    with pytest.raises(UserError, match=expected):
        list(documents(source(tmp_path / "a.parquet")))
    monkeypatch.undo()
    assert [len(d.text) for d in documents(source(tmp_path / "a.parquet"))] == [1, 1 << 20]


def test_a_long_text_that_all_rows_share_is_copied_for_one_row_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows_in_memory: list[int] = []
    rows_of_batch = formats._rows_of_batch

    def counted(batch: Any) -> Iterator[dict[str, Any]]:
        rows_in_memory.append(len(batch))
        return rows_of_batch(batch)

    monkeypatch.setattr(formats, "_rows_of_batch", counted)
    for text, at_a_time in (("あ" * 100_000, 1), ("あ", 40)):
        pq.write_table(pa.table({"text": [text] * 40}), tmp_path / "a.parquet", compression="zstd")
        rows_in_memory.clear()
        assert list(documents(source(tmp_path / "a.parquet"))) == [Document(text)] * 40
        assert max(rows_in_memory) == at_a_time
