"""Published retrieval sets: small folders in the layout of each, and their mistakes."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from anaume.errors import UserError
from anaume.evals.retrieval.collection import ABSENT, Positive
from anaume.evals.retrieval.published import read_collection


def write_lines(file: Path, rows: list[Any]) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file.write_bytes(gzip.compress(content.encode()) if file.suffix == ".gz" else content.encode())
    return file


DOCUMENTS = [
    {"_id": "d1", "title": "海", "text": "海は塩辛い。"},
    {"_id": "d2", "title": "", "text": "山は高い。"},
    {"_id": "d3", "title": "空", "text": ""},
]
QUERIES = [{"_id": "q1", "text": "塩辛いのは"}, {"_id": "q2", "text": "高いのは"}, {"_id": "q3", "text": "速いのは"}]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td3\t1\nq1\td2\t0\nq2\td2\t1\nq9\td2\t1\nq3\td1\t0\n"


def beir(folder: Path, *, qrels: str = QRELS, documents: Any = DOCUMENTS, queries: Any = QUERIES) -> Path:
    write_lines(folder / "corpus.jsonl", documents)
    write_lines(folder / "queries.jsonl", queries)
    (folder / "qrels").mkdir(exist_ok=True)
    (folder / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return folder


def test_beir(tmp_path: Path) -> None:
    collection = read_collection(beir(tmp_path / "sea"))
    assert collection.documents == ["海 海は塩辛い。", "山は高い。", "空"]
    assert collection.queries == ["塩辛いのは", "高いのは"]
    assert collection.positives == [[Positive(0, 2), Positive(2, 1)], [Positive(1, 1)]]
    settings = collection.settings
    assert settings["data"] == "sea, test"
    assert settings["queries_without_positives"] == 1
    assert set(settings["files"]) == {"queries.jsonl", "test.tsv", "corpus.jsonl"}
    assert read_collection(beir(tmp_path / "sea", qrels=QRELS + "q2\td3\t1\n")).settings["sha256"] != settings["sha256"]


def test_a_few_answers_may_be_absent(tmp_path: Path) -> None:
    documents = [{"_id": f"d{i}", "text": f"文{i}"} for i in range(100)]
    qrels = "".join(f"q1\td{i}\t1\n" for i in range(100)) + "q2\tgone\t1\n"
    collection = read_collection(beir(tmp_path, documents=documents, qrels=qrels))
    assert collection.positives[1] == [Positive(ABSENT, 1)]
    assert collection.settings["absent_positives"] == 1


def test_mldr(tmp_path: Path) -> None:
    passage = {"docid": "doc-ja-2", "text": "長い文書。"}
    row = {"query_id": "q-ja-1", "query": "どれ", "positive_passages": [passage], "negative_passages": []}
    write_lines(tmp_path / "test.jsonl.gz", [row])
    write_lines(tmp_path / "corpus.jsonl.gz", [{"docid": "doc-ja-1", "text": "別の文書。"}, passage])
    collection = read_collection(tmp_path)
    assert collection.queries == ["どれ"]
    assert collection.documents == ["別の文書。", "長い文書。"]
    assert collection.positives == [[Positive(1, 1)]]


def test_miracl(tmp_path: Path) -> None:
    name = "miracl-v1.0-ja"
    for kind, content in (("topics", "1\t問い\r\n2\t別の\r\n"), ("qrels", "1\tQ0\t5#1\t1\r\n1\tQ0\t5#0\t0\r\n")):
        file = tmp_path / name / kind / f"{kind}.{name}-dev.tsv"
        file.parent.mkdir(parents=True)
        file.write_bytes(content.encode())
    rows = [{"docid": f"5#{i}", "title": "五", "text": f"段落{i}"} for i in range(2)]
    for part, row in enumerate(rows):
        write_lines(tmp_path / "miracl-corpus-v1.0-ja" / f"docs-{part}.jsonl.gz", [row])
    collection = read_collection(tmp_path)
    assert collection.queries == ["問い"]
    assert collection.documents == ["五 段落0", "五 段落1"]
    assert collection.positives == [[Positive(1, 1)]]
    assert collection.settings["queries_without_positives"] == 1


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"qrels": "q1\td1\t2\nq1 d2 1\n"}, r"test\.tsv:2: 1 fields between tabs; expected 3"),
        ({"qrels": "q1\t0\td1\t2\n"}, r"test\.tsv:1: 4 fields between tabs; expected 3"),
        ({"qrels": QRELS + "q1\td1\t-1\n"}, r"test\.tsv:8: '-1': not a grade; expected a whole number from 0"),
        ({"qrels": QRELS + "q1\td1\tx\n"}, r"test\.tsv:8: 'x': not a grade"),
        ({"qrels": QRELS + "q1\td1\t1\n"}, r"test\.tsv:8: q1, d1: judged twice, with grades 2 and 1; expected one"),
        ({"qrels": QRELS + "q2\td9\t1\n"}, r"test\.tsv:8: d9: not in the corpus, like 1 of 4 positive documents"),
        ({"qrels": "q1\td1\t0\n"}, r"test\.tsv: none of the 3 queries has a positive document; expected some"),
        ({"queries": [{"_id": "q1", "text": " "}]}, r"queries\.jsonl:1: `text` is ' '; expected a text that is not"),
        ({"queries": QUERIES + QUERIES[:1]}, r"queries\.jsonl:4: q1: an id that another line has; expected each id"),
        ({"documents": DOCUMENTS + DOCUMENTS[1:2]}, r"corpus\.jsonl:4: d2: an id that another line has"),
        ({"documents": [{"_id": "d1", "title": "海"}]}, r"corpus\.jsonl:1: no `text`"),
        ({"documents": [{"id": "d1", "text": "海"}]}, r"corpus\.jsonl:1: no `_id` \(it has id, text\)"),
    ],
)
def test_mistakes(parts: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        read_collection(beir(tmp_path, **parts))


def test_no_such_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absent: no such folder; expected the folder of a BEIR, MIRACL or MLDR set"):
        read_collection(tmp_path / "absent")
    with pytest.raises(UserError, match=r"corpus\.jsonl: no such file, nor corpus\.jsonl\.gz; expected the folder of"):
        read_collection(tmp_path)
    with pytest.raises(UserError, match=r"qrels/dev\.tsv: no such file; expected a split that the folder has: test"):
        read_collection(beir(tmp_path / "beir"), "dev")
    (tmp_path / "miracl" / "miracl-v1.0-ja").mkdir(parents=True)
    with pytest.raises(UserError, match="MIRACL: split 'test': unknown; expected one of train, dev"):
        read_collection(tmp_path / "miracl", "test")
    row = {"query_id": "q", "query": "どれ", "positive_passages": [{"text": "x"}]}
    write_lines(tmp_path / "mldr" / "test.jsonl", [row])
    write_lines(tmp_path / "mldr" / "corpus.jsonl", [{"docid": "d", "text": "文"}])
    with pytest.raises(UserError, match=r"test\.jsonl:1: no `docid`"):
        read_collection(tmp_path / "mldr")
