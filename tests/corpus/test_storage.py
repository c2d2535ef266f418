"""Local and remote files: listing, change of version, and pieces that neither lose nor repeat a line."""

import functools
import gzip
import http.server
import io
import json
import random
import re
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fsspec.registry import _registry

from anaume.corpus import storage
from anaume.corpus.readers import Part, Reading, documents, parts, read
from anaume.corpus.source import Source
from anaume.errors import UserError

TEXTS = [f"{i} 番目の文書。" * (i + 1) for i in range(20)]


def lines(texts: list[str], end: str = "\n") -> bytes:
    return "".join(json.dumps({"text": text}, ensure_ascii=False) + end for text in texts).encode()


def parquet(texts: list[str], row_group_size: int = 3) -> bytes:
    content = io.BytesIO()
    pq.write_table(pa.table({"id": list(range(len(texts))), "text": texts}), content, row_group_size=row_group_size)
    return content.getvalue()


CONTENTS = {
    "a.jsonl": lines(TEXTS),
    "b.jsonl.gz": gzip.compress(lines(TEXTS)),
    "c.jsonl.zst": zstandard.compress(lines(TEXTS)),
    "d.parquet": parquet(TEXTS),
    "e.txt": TEXTS[0].encode(),
}


def source(path: Path | str) -> Source:
    return Source.model_validate({"path": str(path)})


def texts(path: Path | str) -> list[str]:
    return [document.text for document in documents(source(path))]


def part_texts(part: Part) -> list[str]:
    return [document.text for document in read(part, Reading())]


# Pieces of large files


@pytest.mark.parametrize("seed", range(12))
def test_each_line_is_in_one_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    chance = random.Random(seed)
    expected = ["あ" * chance.choice([0, 1, 5, 40, 400]) + str(i) for i in range(chance.randrange(5, 60))]
    content = lines(expected, chance.choice(["\n", "\r\n", "\n\n"]))
    file = tmp_path / "a.jsonl"
    file.write_bytes(b"\xef\xbb\xbf" * (seed % 2) + (content if seed % 3 else content.rstrip()))
    for size in [1, 7, len(lines(expected[:1])), 300, 10_000]:
        monkeypatch.setattr(storage, "PIECE", max(size, file.stat().st_size // 50))
        file_parts = parts(source(file))
        assert [text for part in file_parts for text in part_texts(part)] == expected
        assert sum(part.bytes for part in file_parts) == file.stat().st_size
        assert len({part.name for part in file_parts}) == len(file_parts)


def test_a_line_that_begins_where_a_piece_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(["a", "b", "c", "d"]))
    monkeypatch.setattr(storage, "PIECE", len(lines(["a"])))
    assert [part_texts(part) for part in parts(source(tmp_path / "a.jsonl"))] == [["a"], ["b"], ["c"], ["d"]]


def test_row_groups_are_shared_among_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(parquet(TEXTS))
    monkeypatch.setattr(storage, "PIECE", 900)
    piece_texts = [part_texts(part) for part in parts(source(tmp_path / "a.parquet"))]
    assert [text for piece in piece_texts for text in piece] == TEXTS
    assert sum(bool(piece) for piece in piece_texts) > 2


def test_compressed_and_text_files_stay_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(storage, "PIECE", 10)
    names = [part.files[0].base for part in parts(source(f"{tmp_path}/*"))]
    assert {name for name in CONTENTS if names.count(name) == 1} == {"b.jsonl.gz", "c.jsonl.zst", "e.txt"}


@pytest.mark.parametrize("damage", ["line", "row"])
def test_what_is_unreadable_in_a_piece_has_a_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    good = lines(TEXTS)
    file = tmp_path / ("a.jsonl" if damage == "line" else "a.parquet")
    file.write_bytes(good + b"oops\n" if damage == "line" else parquet([*TEXTS, None]))  # type: ignore[list-item]
    monkeypatch.setattr(storage, "PIECE", 900)
    place = f"{file}, byte {len(good)}: not JSON" if damage == "line" else f"{file}:21: `text` is null"
    with pytest.raises(UserError) as error:
        texts(file)
    assert f"the first {place}" in str(error.value)


# Remote files


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.pipe({f"/bucket/{name}": content for name, content in CONTENTS.items()})
    yield system
    system.rm("/bucket", recursive=True)


@pytest.mark.parametrize("name", CONTENTS)
def test_each_format_from_memory(memory: Any, name: str) -> None:
    assert texts(f"memory://bucket/{name}") == TEXTS[: 1 if name == "e.txt" else None]
    memory.pipe("/bucket/f[1].jsonl", lines(["brackets"]))
    assert texts("memory://bucket/f[1].jsonl") == ["brackets"]


def test_globs_of_remote_files(memory: Any) -> None:
    memory.pipe("/bucket/under/a.jsonl", lines(["under"]))
    assert texts("memory://bucket/*.*") == TEXTS * 4 + TEXTS[:1]
    assert texts("memory://bucket/**/a.jsonl") == [*TEXTS, "under"]
    assert len({part.name for part in parts(source("memory://bucket/**/a.jsonl"))}) == 2
    for nothing in ("memory://bucket/*.csv", "memory://bucket/g.jsonl", "memory://bucket/nowhere"):
        with pytest.raises(UserError, match=r"matches no file; expected a path, URL, folder or glob of \.jsonl"):
            texts(nothing)


def test_pieces_of_remote_files(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setattr(storage, "PIECE", 900)
    for name in ("a.jsonl", "d.parquet"):
        assert len(parts(source(f"memory://bucket/{name}"))) > 2
        assert texts(f"memory://bucket/{name}") == TEXTS


def test_a_file_that_has_changed_is_another(memory: Any) -> None:
    (before,) = storage.files("memory://bucket/a.jsonl")
    assert storage.files("memory://bucket/a.jsonl") == [before]
    memory.pipe("/bucket/a.jsonl", lines(TEXTS[::-1]))
    (after,) = storage.files("memory://bucket/a.jsonl")
    assert (after.size, after.name) == (before.size, before.name)
    assert after.version != before.version


@pytest.mark.parametrize(("scheme", "package"), [("s3", "s3fs"), ("gs", "gcsfs"), ("http", "aiohttp")])
def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch, scheme: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(_registry, scheme, raising=False)
    with pytest.raises(UserError, match=rf"^corpus {scheme}://bucket/a\.jsonl: .*; pip install {package}$"):
        texts(f"{scheme}://bucket/a.jsonl")


def test_a_protocol_that_nobody_knows() -> None:
    with pytest.raises(UserError, match=r"^corpus nfs9://a/b\.jsonl: Protocol not known: nfs9$"):
        texts("nfs9://a/b.jsonl")


def test_a_file_that_went_away(tmp_path: Path, memory: Any) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(TEXTS))
    near, far = parts(source(tmp_path / "a.jsonl")), parts(source("memory://bucket/a.jsonl"))
    (tmp_path / "a.jsonl").unlink()
    memory.rm("/bucket/a.jsonl")
    for (part,) in (near, far):
        with pytest.raises(UserError, match=rf"^{part.files[0]}: the file is gone since files were listed"):
            part_texts(part)


# Web servers


class Handler(http.server.SimpleHTTPRequestHandler):
    """Python's own handler, which does not support ranges of bytes."""

    def log_message(self, *_: Any) -> None:
        pass


class RangesHandler(Handler):
    """Supports ranges of bytes; sends half of a file that has "broken" in its name."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            super().do_GET()
            return
        content = path.read_bytes()
        begin, _, end = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        selected = content[int(begin or 0) : int(end) + 1 if end else None]
        self.send_response(206 if begin else 200)
        self.send_header("Content-Length", str(len(selected)))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{int(begin) + len(selected) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(selected[: len(selected) // 2] if "broken" in path.name else selected)


@pytest.fixture(params=[Handler, RangesHandler])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    for name, content in CONTENTS.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "broken.jsonl").write_bytes(lines(TEXTS) * 100)
    handler = functools.partial(request.param, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving:
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()
        thread.join()


def test_files_of_a_web_server(server: str) -> None:
    for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl.zst", "d.parquet"):
        assert texts(f"{server}/{name}") == TEXTS
    assert texts(f"{server}/a.jsonl?token=*secret") == TEXTS
    assert texts(f"{server}/*.jsonl.*") == TEXTS * 2
    for absent in ("absent.jsonl", "absent*.jsonl"):
        with pytest.raises(UserError, match=rf"^corpus {re.escape(f'{server}/{absent}')}: 404"):
            texts(f"{server}/{absent}")


@pytest.mark.parametrize("server", [RangesHandler], indirect=True)
def test_pieces_of_a_file_of_a_web_server(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PIECE", 900)
    assert len(parts(source(f"{server}/a.jsonl"))) > 2
    assert texts(f"{server}/a.jsonl") == TEXTS


@pytest.mark.parametrize("server", [Handler], indirect=True)
def test_a_web_server_without_ranges(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "PIECE", 900)
    assert len(parts(source(f"{server}/a.jsonl"))) == 1
    (tmp_path / "large.parquet").write_bytes(parquet([random.randbytes(500_000).hex() for _ in range(8)]))
    with pytest.raises(UserError, match=rf"^{server}/large\.parquet: .*range requests"):
        texts(f"{server}/large.parquet")


@pytest.mark.parametrize("server", [RangesHandler], indirect=True)
def test_a_connection_that_breaks(server: str) -> None:
    with pytest.raises(UserError, match=rf"^{server}/broken\.jsonl: ") as error:
        texts(f"{server}/broken.jsonl")
    assert "\n" not in str(error.value)


def test_no_server() -> None:
    pytest.importorskip("aiohttp")
    for path in ("a.jsonl", "*.jsonl"):
        with pytest.raises(UserError, match=r"^corpus http://127\.0\.0\.1:9/.*: Cannot connect to host 127"):
            texts(f"http://127.0.0.1:9/{path}")
