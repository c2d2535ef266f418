"""Lines of any encoding, packing and length come one at a time, and a file that changes while it is read is named."""

import gzip
import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from anaume.corpus import lines, storage
from anaume.corpus.document import Unreadable
from anaume.corpus.lines import TextLine, read_lines
from anaume.corpus.readers import Reading, documents, parse_source, parts, read
from anaume.errors import UserError

TEXTS = ["吾輩は猫である。", "名前は①②まだ無い。", "どこで生れたか"]
PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}


def texts_of(path: Path, encoding: str = "utf-8") -> list[str]:
    lines_read = list(read_lines(storage.local_file(path), encoding))
    assert all(isinstance(line, TextLine) for line in lines_read), lines_read
    return [line.text.rstrip("\r\n") for line in lines_read if isinstance(line, TextLine)]


@pytest.mark.parametrize("packing", PACK)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "euc_jisx0213", "utf-16", "utf-16-be", "utf-32"])
def test_each_encoding(tmp_path: Path, encoding: str, packing: str) -> None:
    file = tmp_path / f"a.txt{packing}"
    file.write_bytes(PACK[packing]("\r\n".join(["", *TEXTS, "　", ""]).encode(encoding)))
    assert texts_of(file, encoding) == TEXTS


def test_a_byte_order_mark_may_begin_every_member(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(b"".join(gzip.compress(f"\ufeff{text}\n".encode()) for text in TEXTS) + b"\0" * 512)
    assert texts_of(file) == TEXTS


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("猫は港へ行く。".encode("cp932"), r'not UTF-8 \(invalid start byte at byte 0\); it may be encoding = "cp932"'),
        ("猫は港へ行く。".encode("euc_jp"), r'not UTF-8 \(.*\); it may be encoding = "euc_jp"'),
        ("猫は港へ行く。".encode("utf-16"), r'not UTF-8 \(.*\); it may be encoding = "utf-16"'),
        (b"caf\xe9 au lait", r"not UTF-8 \(invalid continuation byte at byte 3\)"),
        (b"\xff\xfe\xfd"[::-1], r"not UTF-8 \(invalid start byte at byte 0\)"),
    ],
)
def test_text_that_is_not_utf_8_names_an_encoding_that_fits(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.txt").write_bytes(b"good\n" + content + b"\n")
    first, bad, *_ = read_lines(storage.local_file(tmp_path / "a.txt"))
    assert first == TextLine(f"{tmp_path}/a.txt:1", "good\n")
    if "utf-16" in problem:  # the mark is at the beginning of a file
        (tmp_path / "a.txt").write_bytes(content)
        bad, *_ = read_lines(storage.local_file(tmp_path / "a.txt"))
    assert isinstance(bad, Unreadable)
    assert re.fullmatch(problem, bad.reason)


def test_text_that_is_not_utf_16(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("猫\n".encode())
    with pytest.raises(UserError, match=r"a\.txt: not utf-16 \(no byte order mark; .*\); expected another `encoding`"):
        texts_of(tmp_path / "a.txt", "utf-16")
    (tmp_path / "a.txt").write_bytes("猫\n犬".encode("utf-16")[:-1])
    with pytest.raises(UserError, match=r"a\.txt: not utf-16 \(.*truncated data\); expected another `encoding`"):
        texts_of(tmp_path / "a.txt", "utf-16")


@pytest.mark.parametrize("packing", PACK)
def test_a_long_line_is_left_out(tmp_path: Path, packing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_BYTES", 10)
    monkeypatch.setattr(lines, "_BLOCK", 4)
    file = tmp_path / f"a.txt{packing}"
    file.write_bytes(PACK[packing](b"a\n" + b"b" * 9 + b"\n" + b"c" * 10 + b"\nd\n" + b"e" * 100))
    long = "a line of more than 10 bytes"
    assert list(read_lines(storage.local_file(file))) == [
        TextLine(f"{file}:1", "a\n"),
        TextLine(f"{file}:2", "b" * 9 + "\n"),
        Unreadable(f"{file}:3", long),
        TextLine(f"{file}:4", "d\n"),
        Unreadable(f"{file}:5", long),
    ]


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_memory_is_flat_for_a_small_file_of_one_huge_line(
    tmp_path: Path, packing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_BYTES", 4 << 20)
    file = tmp_path / f"a.jsonl{packing}"
    file.write_bytes(PACK[packing](b" " * (128 << 20)))
    tracemalloc.start()
    try:
        (bad,) = read_lines(storage.local_file(file))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert bad == Unreadable(f"{file}:1", f"a line of more than {lines.MAX_BYTES:,} bytes")
    assert peak < 64 << 20


def test_a_long_line_in_pieces_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A piece inside the line ends at its own end: reading on to the line's end would be quadratic in the pieces."""
    monkeypatch.setattr(lines, "MAX_BYTES", 30)
    monkeypatch.setattr(lines, "_BLOCK", 8)
    monkeypatch.setattr(storage, "PIECE", 100)
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "a"}\n' + b"b" * 1000 + b'\n{"text": "c"}\n')
    positions: list[int] = []
    lines_read = []
    for part in parts(parse_source(str(file), bad_lines=1.0)):
        reading = Reading()
        lines_read += [document.text for document in read(part, reading)]
        positions.append(reading.bytes)
        assert reading.bad_lines == (1 if len(positions) == 1 else 0)
    assert lines_read == ["a", "c"]
    assert len(positions) == 11


def test_a_document_that_is_too_long_names_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anaume.corpus.formats.MAX_BYTES", 10)
    (tmp_path / "a.txt").write_bytes(b"ab\n" * 4)
    with pytest.raises(UserError, match=r'a document of more than 10 bytes; documents = "lines" makes each line'):
        list(documents(parse_source(str(tmp_path / "a.txt"))))
    assert len(list(documents(parse_source(str(tmp_path / "a.txt"), documents="lines")))) == 4


@pytest.mark.parametrize("change", ["cut", "longer", "rewritten"])
def test_a_file_that_changes_while_it_is_read(tmp_path: Path, change: str) -> None:
    file = tmp_path / "a.jsonl"
    content = b'{"text": "' + b"a" * 989 + b'"}\n'
    file.write_bytes(content * 2000)
    rows = documents(parse_source(str(file)))
    next(rows)
    if change == "cut":
        os.truncate(file, len(content) * 1500)
    elif change == "longer":
        with file.open("ab") as end:
            end.write(content)
    else:
        os.utime(file, ns=(1, 1))
    with pytest.raises(
        UserError, match=rf"^{file}: changed since it was listed: [0-9,]+ bytes; expected 2,004,000 bytes"
    ):
        list(rows)
