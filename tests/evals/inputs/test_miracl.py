"""MIRACL's files → pairs: a small folder of the Hub's layout, the same through a local server, and mistakes."""

import gzip
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from typer.testing import CliRunner

from anaume.cli import app
from anaume.corpus import hub
from anaume.errors import UserError
from anaume.evals.inputs.miracl import PairCounts, write_pairs
from anaume.evals.inputs.pairs import read_pairs
from anaume.evals.retrieval import evaluate as retrieval
from anaume.evals.retrieval.collection import from_pairs

NAME = "miracl-v1.0-ja"
# Topic 3 comes first and has three positives, the first of which the corpus lacks; 1 has two, with a negative between
# them; 2 has one; 4 is in no line of the qrels; 9 is no topic.
TOPICS = [("3", "三つ目の問い"), ("1", "一つ目の問い"), ("2", "二つ目の問い"), ("4", "四つ目の問い")]
QRELS = [
    ("1", "5#0", 1),
    ("1", "5#1", 0),
    ("1", "7#2", 1),
    ("2", "5#1", 1),
    ("3", "9#9", 1),
    ("3", "7#2", 1),
    ("3", "5#1", 1),
    ("9", "5#0", 1),
    ("9", "5#1", 1),
]
PASSAGES = {"5#0": "五の零", "5#1": "五の一", "6#0": "六の零", "7#2": "七の二"}


def write(folder: Path, *, parts: int = 2, qrels: list[tuple[str, str, int]] | None = None) -> Path:
    """Files in the layout of miracl/miracl and miracl/miracl-corpus."""
    judged, corpus = folder / NAME, folder / "miracl-corpus-v1.0-ja"
    for path in (judged / "topics", judged / "qrels", corpus):
        path.mkdir(parents=True)
    lines = [f"{number}\t{text}\n" for number, text in TOPICS]
    (judged / "topics" / f"topics.{NAME}-train.tsv").write_text("".join(lines), encoding="utf-8")
    lines = [f"{topic}\tQ0\t{passage}\t{relevance}\n" for topic, passage, relevance in qrels or QRELS]
    (judged / "qrels" / f"qrels.{NAME}-train.tsv").write_text("".join(lines), encoding="utf-8")
    for part in range(parts):
        with gzip.open(corpus / f"docs-{part}.jsonl.gz", "wt", encoding="utf-8") as stream:
            for passage, text in list(PASSAGES.items())[part::parts]:
                row = {"docid": passage, "title": f"頁{passage[0]}", "text": text}
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    return folder


@pytest.fixture
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """One passage of these few is more than the share that may be absent."""
    monkeypatch.setattr("anaume.evals.inputs.miracl.MAX_ABSENT", 0.5)


@pytest.mark.usefixtures("lenient")
def test_first_two_positives_in_the_order_of_the_qrels(tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    assert write_pairs(out, folder=write(tmp_path / "data")) == PairCounts(topics=4, pairs=2, absent=1)
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert rows[1] == {
        "query": "五の零",
        "positive": "七の二",
        "title": "頁7",
        "topic": "1",
        "query_id": "5#0",
        "positive_id": "7#2",
        "source": "MIRACL v1.0 ja, train: first and second positive passage, without titles",
    }
    assert [rows[0][key] for key in ("topic", "query", "positive")] == ["3", "七の二", "五の一"]


@pytest.mark.usefixtures("lenient")
def test_records_say_that_titles_are_left_out(tmp_path: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", folder=write(tmp_path / "data"))
    result = retrieval.evaluate_lexical("jaccard", from_pairs(read_pairs(tmp_path / "pairs.jsonl")))
    assert result.settings["source"].endswith("first and second positive passage, without titles")


def test_the_corpus_is_read_no_further_than_needed(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", parts=1, qrels=[("1", "5#0", 1), ("1", "7#2", 1)])
    (folder / "miracl-corpus-v1.0-ja" / "docs-1.jsonl.gz").write_bytes(b"never opened")
    assert write_pairs(tmp_path / "pairs.jsonl", folder=folder) == PairCounts(topics=4, pairs=1, absent=0)


@pytest.mark.usefixtures("lenient")
def test_the_verb(tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    words = ["pairs", "miracl-ja", "--data", str(write(tmp_path / "data")), "--out", str(out)]
    result = CliRunner().invoke(app, words)
    assert result.stdout == f"{out}: 2 pairs of 4 topics; 1 passages not in the corpus\n"
    assert len(read_pairs(out)) == 2
    again = CliRunner().invoke(app, words)
    assert str(again.exception) == f"--out: {out}: exists; expected the name of a new file"
    wrong = CliRunner().invoke(app, ["pairs", "mrtydi-ja", "--out", str(tmp_path / "other.jsonl")])
    assert str(wrong.exception) == "pairs 'mrtydi-ja': unknown; expected miracl-ja, or another of MIRACL's languages"


class Hub(BaseHTTPRequestHandler):
    """As much of the Hub as a snapshot of a data set needs: what files it has, and each of them."""

    def __init__(self, folders: dict[str, Path], requests: list[str], *arguments: Any) -> None:
        self.folders, self.requests = folders, requests
        super().__init__(*arguments)

    def do_GET(self) -> None:
        self.requests.append(self.path)
        repository = next((name for name in self.folders if f"/datasets/{name}/" in self.path), "")
        if not repository:
            self.answer(403, b"", {"X-Error-Code": "GatedRepo"})
        elif "/api/" in self.path:
            self.answer(200, json.dumps(self.listing(repository)).encode(), {"Content-Type": "application/json"})
        else:
            content = (self.folders[repository] / self.path.split("/", 6)[-1]).read_bytes()
            etag = hashlib.sha1(content).hexdigest()
            self.answer(200, content, {"ETag": f'"{etag}"', "X-Repo-Commit": "c" * 40})

    do_HEAD = do_GET

    def listing(self, repository: str) -> Any:
        folder = self.folders[repository]
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        if "/tree/" in self.path:
            return [
                {"type": "file", "oid": "0" * 40, "size": path.stat().st_size, "path": str(path.relative_to(folder))}
                for path in files
            ]
        return {
            "id": repository,
            "sha": "c" * 40,
            "siblings": [{"rfilename": str(path.relative_to(folder))} for path in files],
        }

    def answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(content))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[str]]]:
    """Start a server with these data sets, all others being gated; gives the paths that it is asked for."""
    servers = []

    def start(folders: dict[str, Path]) -> list[str]:
        requests: list[str] = []
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folders, requests))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        download = partial(huggingface_hub.snapshot_download, endpoint=endpoint, cache_dir=tmp_path / "cache")
        monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)  # as conftest set it
        monkeypatch.setattr(hub, "problem", lambda *_: "")
        return requests

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.usefixtures("lenient")
def test_from_a_hub(serve: Callable[..., list[str]], tmp_path: Path) -> None:
    folder = write(tmp_path / "hub")
    requests = serve({"miracl/miracl-corpus": folder, "miracl/miracl": folder})
    write_pairs(tmp_path / "local.jsonl", folder=folder)
    write_pairs(tmp_path / "fetched.jsonl")
    assert (tmp_path / "fetched.jsonl").read_bytes() == (tmp_path / "local.jsonl").read_bytes()
    files = {path.rsplit("/", 1)[-1] for path in requests if "/resolve/" in path}
    assert files == {
        "docs-0.jsonl.gz",
        "docs-1.jsonl.gz",
        f"topics.{NAME}-train.tsv",
        f"qrels.{NAME}-train.tsv",
    }


def test_a_gated_data_set(serve: Callable[..., list[str]], tmp_path: Path) -> None:
    serve({})
    with pytest.raises(UserError, match=r"miracl/miracl: gated; accept its terms at .*, then run: hf auth login"):
        write_pairs(tmp_path / "pairs.jsonl")


def test_mistakes(tmp_path: Path) -> None:
    out = tmp_path / "pairs.jsonl"
    with pytest.raises(UserError, match="MIRACL: language 'jp': unknown; expected one of ar, bn"):
        write_pairs(out, "jp", folder=tmp_path)
    with pytest.raises(UserError, match="MIRACL: split 'test': unknown; expected one of train, dev"):
        write_pairs(out, split="test", folder=tmp_path)
    with pytest.raises(UserError, match=r"topics\.miracl-v1\.0-ja-train\.tsv: no such file"):
        write_pairs(out, folder=tmp_path)
    folder = write(tmp_path / "data", parts=3)
    with pytest.raises(UserError, match="lacks 1 of 4 positive passages; expected the whole corpus"):
        write_pairs(out, folder=folder)
    corpus = folder / "miracl-corpus-v1.0-ja"
    (corpus / "docs-1.jsonl.gz").unlink()
    with pytest.raises(UserError, match=r"docs-1\.jsonl\.gz: no such file"):
        write_pairs(out, folder=folder)
    (corpus / "docs-1.jsonl.gz").write_bytes((corpus / "docs-0.jsonl.gz").read_bytes()[:-9])
    with pytest.raises(UserError, match=r"docs-1\.jsonl\.gz: compressed file cut off or damaged"):
        write_pairs(out, folder=folder)
    (corpus / "docs-1.jsonl.gz").write_bytes(gzip.compress(b'{"text": "no id"}\n'))
    with pytest.raises(UserError, match=r"docs-1\.jsonl\.gz:1: no `docid` \(it has text\); expected a text"):
        write_pairs(out, folder=folder)
    (corpus / "docs-1.jsonl.gz").write_bytes(gzip.compress('{"docid": "9#9", "title": "頁", "text": " "}\n'.encode()))
    with pytest.raises(UserError, match=r"docs-1\.jsonl\.gz:1: `text` is .*; expected a text that is not empty"):
        write_pairs(out, folder=folder)
    (folder / NAME / "qrels" / f"qrels.{NAME}-train.tsv").write_text("1 Q0 5#0 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"qrels\.miracl-v1\.0-ja-train\.tsv:1: 1 fields between tabs; expected 4"):
        write_pairs(out, folder=folder)
    (folder / NAME / "qrels" / f"qrels.{NAME}-train.tsv").write_text("1\tQ0\t5#0\t1\n", encoding="utf-8")
    with pytest.raises(UserError, match="has two positive passages"):
        write_pairs(out, folder=folder)
    assert not out.exists()


def test_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError("couldn't connect\nwith details")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    monkeypatch.setattr(hub, "problem", lambda *_: "")
    with pytest.raises(UserError, match=r"miracl/miracl: can't be downloaded from the Hub \(couldn't connect\)"):
        write_pairs(tmp_path / "pairs.jsonl")
