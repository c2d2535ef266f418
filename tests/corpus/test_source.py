"""The keys of a source: ranges of hashes that divide a corpus, encodings, and their mistakes."""

import itertools
import json
from pathlib import Path

import pytest

from anaume.corpus.readers import documents, parse_source
from anaume.errors import UserError

TEXTS = [f"第{i}の文書。" for i in range(2000)]


def texts(path: Path | str, low: float, high: float, seed: int = 0) -> list[str]:
    return [d.text for d in documents(parse_source(str(path), hash_range=[low, high], seed=seed))]


def write(folder: Path, rows: list[str], files: int) -> Path:
    folder.mkdir()
    for i in range(files):
        content = "".join(json.dumps({"text": text}) + "\n" for text in rows[i::files])
        (folder / f"{i}.jsonl").write_text(content)
    return folder


def test_each_document_is_in_exactly_one_range(tmp_path: Path) -> None:
    folder = write(tmp_path / "a", TEXTS, 3)
    ranges = [texts(folder, low, high) for low, high in ((0.0, 0.7), (0.7, 0.9), (0.9, 1.0))]
    assert sorted(itertools.chain(*ranges)) == sorted(TEXTS)
    assert [round(len(part) / 2000, 1) for part in ranges] == [0.7, 0.2, 0.1]


def test_the_order_of_documents_and_files_does_not_matter(tmp_path: Path) -> None:
    one, other = write(tmp_path / "a", TEXTS, 3), write(tmp_path / "b", TEXTS[::-1], 7)
    assert set(texts(one, 0.9, 1.0)) == set(texts(other, 0.9, 1.0))
    assert set(texts(one, 0.9, 1.0)) != set(texts(one, 0.9, 1.0, seed=1))


def test_a_hash_is_pinned() -> None:
    """A change of the hash would divide the corpora of all runs anew."""
    source = parse_source("a.jsonl", hash_range=[0.25, 0.5])
    assert [text for text in TEXTS[:12] if source.draws(text)] == ["第1の文書。"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hash_range": [0.5, 0.5]}, r"hash_range = \[0\.5, 0\.5\]: no range; expected two numbers that rise"),
        ({"hash_range": [0.0, 1.5]}, "no range"),
        ({"hash_range": [0.1]}, "no range"),
        ({"encoding": "klingon"}, "encoding = 'klingon': unknown; expected utf-8, cp932"),
        ({"encoding": "base64"}, "encoding = 'base64': unknown"),
        ({"encoding": ""}, "encoding = '': unknown"),
    ],
)
def test_mistakes(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_source("a.jsonl", **options)
