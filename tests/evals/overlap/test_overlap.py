"""Planted overlaps: at borders of blocks and documents, in other forms of the same characters, with equal hashes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anaume.corpus.readers import parse_source
from anaume.errors import UserError
from anaume.evals.overlap import grams, scan
from anaume.evals.overlap.grams import index_grams, normalised, shared_grams
from anaume.evals.overlap.items import read_items
from anaume.evals.overlap.scan import find_overlap

RUN = "abcdefghijklm"  # 13 characters


def _lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def _find(folder: Path, documents: list[str], *items: dict[str, Any], n: int = 13) -> dict[str, Any]:
    corpus = _lines(folder / "corpus.jsonl", *({"text": text} for text in documents))
    data = _lines(folder / "data.jsonl", *items)
    result = find_overlap([parse_source(str(corpus))], [data], n)
    (row,) = result["files"]
    return {**row, "documents": result["documents"], "overlapping_documents": result["overlapping_documents"]}


def _reference(texts: list[str], document: str, n: int) -> set[str]:
    of_document = {document[i : i + n] for i in range(len(document) - n + 1)}
    return of_document & {text[i : i + n] for text in texts for i in range(len(text) - n + 1)}


@pytest.mark.parametrize("weak", [False, True])
@pytest.mark.parametrize("block", [1, 2, 7, 1000])
def test_equal_to_a_set_of_strings_at_every_border(block: int, weak: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a base of 1 the hash of a gram is the sum of its characters, so that most grams collide."""
    if weak:
        monkeypatch.setattr(grams, "BASE", np.uint64(1))
    random = np.random.default_rng(0)
    texts = ["".join(random.choice(list("abc"), size)) for size in (0, 3, 4, 5, 40, 60)]
    document = "".join(random.choice(list("abc"), 300))
    index = index_grams(texts, 5)
    found: dict[int, str] = {}
    for numbers, places in shared_grams(index, document, block):
        for number, place in zip(numbers.tolist(), places.tolist(), strict=True):
            first = index.first[number]
            found[place] = "".join(map(chr, index.codes[first : first + 5]))
            assert found[place] == document[place : place + 5]
    assert set(found.values()) == _reference(texts, document, 5)
    assert len(index.hashes) == len({text[i : i + 5] for text in texts for i in range(len(text) - 4)})


def test_thirteen_characters_and_not_twelve(tmp_path: Path) -> None:
    row = _find(tmp_path, [f"xx{RUN}yy"], {"text": RUN}, {"text": RUN[:12] + "z" * 9}, {"text": "short"})
    assert (row["items"], row["overlapping_items"], row["too_short"]) == (3, [1], 1)
    assert row["examples"][0]["run"] == RUN
    assert row["examples"][0]["document"].endswith("corpus.jsonl: document 1")


def test_no_run_spans_two_documents_or_two_texts_of_an_item(tmp_path: Path) -> None:
    row = _find(tmp_path, ["xx" + RUN[:7], RUN[7:] + "yy"], {"text": RUN})
    assert (row["overlapping"], row["documents"], row["overlapping_documents"]) == (0, 2, 0)
    assert _find(tmp_path, [RUN], {"query": RUN[:7], "positive": RUN[7:]})["overlapping"] == 0


def test_forms_of_the_same_characters_and_white_space(tmp_path: Path) -> None:
    document = "これはﾃﾞｰﾀﾍﾞｰｽの１２\n ３番目の例です。"
    row = _find(tmp_path, [document], {"text": "データベースの123番目の例"})
    assert row["overlapping"] == 1
    assert row["examples"][0]["run"] == "データベースの123番目の例"


def test_the_longest_run_and_its_document(tmp_path: Path) -> None:
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 40)))
    row = _find(tmp_path, ["無関係な文書である。", text[5:20] + "x", "y" + text[10:39]], {"text": text})
    (example,) = row["examples"]
    assert example["characters"] == len(example["run"]) >= 21
    assert example["run"] in text[10:39]
    assert example["document"].endswith("document 3")
    assert row["overlapping_documents"] == 2


def test_items_of_each_kind(tmp_path: Path) -> None:
    squad = {"data": [{"paragraphs": [{"context": "文脈", "qas": [{"question": "一"}, {"question": "二"}]}]}]}
    file = tmp_path / "squad.json"
    file.write_text(json.dumps(squad), encoding="utf-8")
    assert [(item.number, item.texts) for item in read_items(file)] == [(1, ("一", "文脈")), (2, ("二", "文脈"))]
    cloze = _lines(tmp_path / "cloze.jsonl", {"text": "首都は[MASK]だ", "answers": ["東京", "京"]})
    assert read_items(cloze)[0].texts == ("首都は東京だ", "首都は京だ")
    pair = _lines(tmp_path / "jnli.json", {"sentence1": "一", "sentence2": "二", "label": "neutral"})
    assert read_items(pair)[0].texts == ("一", "二")
    with pytest.raises(UserError, match=r"bad.jsonl:1: no text \(it has words\); expected text, query"):
        read_items(_lines(tmp_path / "bad.jsonl", {"words": "一"}))


def test_an_interrupted_search_reads_only_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in "ab":
        _lines(tmp_path / f"{name}.jsonl", {"text": f"{name}{RUN}"})
    data = _lines(tmp_path / "items.json", {"text": f"a{RUN}"}, {"text": f"b{RUN}"})
    sources = [parse_source(str(tmp_path / "?.jsonl"))]
    whole = find_overlap(sources, [data], 13)
    read_parts: list[str] = []
    read = scan._read_hits

    def interrupted(index: Any, part: Any) -> Any:
        read_parts.append(part.files[0].base)
        if len(read_parts) == 2:
            raise KeyboardInterrupt
        return read(index, part)

    monkeypatch.setattr(scan, "_read_hits", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find_overlap(sources, [data], 13, tmp_path / "progress")
    assert find_overlap(sources, [data], 13, tmp_path / "progress") == whole
    assert read_parts == ["a.jsonl", "b.jsonl", "b.jsonl"]


def test_the_command_line(tmp_path: Path, command_line: Callable[..., Any]) -> None:
    corpus = _lines(tmp_path / "corpus.jsonl", {"text": RUN})
    data = _lines(tmp_path / "data.jsonl", {"text": RUN}, {"text": normalised("別の文") * 9})
    finished = command_line("overlap", corpus, "--against", data, "--out", tmp_path / "o.json")
    assert finished.status == 0
    assert "data.jsonl: 1 of 2 items overlap (50.0%)" in finished.out
    assert json.loads((tmp_path / "o.json").read_text())["files"][0]["overlapping_items"] == [1]
    assert not list(tmp_path.glob(".*overlap"))
    assert command_line("overlap", corpus, "--against", tmp_path / "absent").status == 2
