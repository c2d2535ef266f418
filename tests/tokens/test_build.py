"""Building stores: whole, idempotent, the same with any number of processes, and never over something else."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from anaume.corpus.readers import documents
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.tokens import store
from anaume.tokens.build import build, open_stores, verify
from anaume.tokens.summary import length_quantiles
from anaume.tokens.tokenizer import Tokenizer


def files(folder: Path) -> dict[str, bytes]:
    """What makes up the stores in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.bin"))}


def write_lines(path: Path, *texts: str) -> None:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))


def test_each_source_becomes_a_store(corpus: Source, trained: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("東京都の人口")
    other = Source.model_validate({"path": str(tmp_path / "c.txt"), "weight": 2.0})
    summary = build([corpus, other], trained, tmp_path / "tokens")
    first, second = open_stores(tmp_path / "tokens", trained)
    texts = [document.text for document in documents(corpus)]
    assert len(first) == len(texts) == 40
    for index, ids in enumerate(trained.encode(texts)):
        np.testing.assert_array_equal(first.document(index), ids)
    np.testing.assert_array_equal(second.document(0), trained.encode(["東京都の人口"])[0])
    assert summary.documents == 41
    assert summary.tokens == summary.encoded_tokens == first.tokens + second.tokens
    assert summary.characters == sum(map(len, texts)) + 6
    assert [counts.documents for counts in summary.sources.values()] == [40, 1]
    written = json.loads((tmp_path / "tokens" / "summary.json").read_text())
    assert written["tokens"] == summary.tokens
    assert verify(tmp_path / "tokens") == []


def test_processes_give_the_same_bytes(corpus: Source, trained: Tokenizer, tmp_path: Path) -> None:
    one = build([corpus], trained, tmp_path / "one")
    two = build([corpus], trained, tmp_path / "two", workers=2)
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert (one.tokens, one.length_quantiles) == (two.tokens, two.length_quantiles)


def test_a_users_mistake_in_a_process_is_reported(trained: Tokenizer, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", "a")
    (tmp_path / "b.jsonl").write_text("oops\n")
    source = Source.model_validate({"path": f"{tmp_path}/*.jsonl"})
    with pytest.raises(UserError, match=r"b\.jsonl: 1 of 1 lines unreadable"):
        build([source], trained, tmp_path / "tokens", workers=2)
    with pytest.raises(UserError, match="no token store, or not a whole one"):
        open_stores(tmp_path / "tokens", trained)


def test_what_is_there_is_not_made_again(trained: Tokenizer, tmp_path: Path) -> None:
    for name in "abc":
        write_lines(tmp_path / f"{name}.jsonl", f"{name} の人口")
    source = Source.model_validate({"path": f"{tmp_path}/*.jsonl"})
    out = tmp_path / "tokens"
    first = build([source], trained, out)
    parts = sorted(path for path in (out / "source-0").iterdir() if path.is_dir())
    before = [path.stat().st_ino for path in parts]

    assert build([source], trained, out).encoded_tokens == 0

    write_lines(tmp_path / "b.jsonl", "b の面積と人口")  # changed
    (parts[2] / "ids.bin").write_bytes(b"")  # damaged
    stale = out / "source-0" / f".{parts[2].name}.999.tmp"
    stale.mkdir()
    again = build([source], trained, out)
    after = [path.stat().st_ino for path in parts]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]
    assert not stale.exists()
    assert 0 < again.encoded_tokens < again.tokens
    assert again.tokens > first.tokens
    assert verify(out) == []


def test_a_part_that_fails_leaves_the_finished_ones(trained: Tokenizer, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", "東京都")
    (tmp_path / "b.jsonl").write_text("oops\n")
    source = Source.model_validate({"path": f"{tmp_path}/*.jsonl"})
    with pytest.raises(UserError, match="1 of 1 lines unreadable"):
        build([source], trained, tmp_path / "tokens")
    write_lines(tmp_path / "b.jsonl", "京都府")
    summary = build([source], trained, tmp_path / "tokens")
    assert summary.documents == 2
    assert summary.encoded_tokens == len(trained.encode(["京都府"])[0])


def test_a_file_touched_after_it_was_read_is_read_again(trained: Tokenizer, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", "東京都")
    source = Source.model_validate({"path": str(tmp_path / "a.jsonl")})
    build([source], trained, tmp_path / "tokens")
    os.utime(tmp_path / "a.jsonl", ns=(1, 1))
    assert build([source], trained, tmp_path / "tokens").encoded_tokens > 0


def test_bad_lines_and_empty_documents_are_in_the_summary(trained: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": " "}\noops\n')
    source = Source.model_validate({"path": str(tmp_path / "a.jsonl"), "bad_lines": 0.5})
    for _ in range(2):  # also when the store is reused
        summary = build([source], trained, tmp_path / "tokens")
        assert (summary.documents, summary.bad_lines, summary.empty_documents) == (1, 1, 1)


def test_a_corpus_without_text(trained: Tokenizer, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", "", "  ")
    source = Source.model_validate({"path": str(tmp_path / "a.jsonl")})
    with pytest.raises(UserError, match="no document found; accepted"):
        build([source], trained, tmp_path / "tokens")


def test_tokens_of_something_else_are_not_written_over(corpus: Source, trained: Tokenizer, tmp_path: Path) -> None:
    from dataclasses import replace

    out = tmp_path / "tokens"
    build([corpus], trained, out)
    before = files(out)
    other = replace(trained, vocabulary_hash="b" * 64)
    with pytest.raises(UserError, match="holds tokens of another tokenizer; accepted: a new folder"):
        build([corpus], other, out)
    with pytest.raises(UserError, match="made with another tokenizer"):
        open_stores(out, other)
    limited = corpus.model_copy(update={"max_documents": 3})
    with pytest.raises(UserError, match="holds tokens of other sources; accepted: a new folder"):
        build([limited], trained, out)
    assert files(out) == before
    assert build([corpus.model_copy(update={"weight": 3.0})], trained, out).encoded_tokens == 0


def test_max_documents(corpus: Source, trained: Tokenizer, tmp_path: Path) -> None:
    build([corpus.model_copy(update={"max_documents": 25})], trained, tmp_path / "tokens", workers=2)
    (found,) = open_stores(tmp_path / "tokens", trained)
    assert len(found) == 25


def test_no_tokens(trained: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tokens; accepted: a folder that `anaume tokens` wrote"):
        open_stores(tmp_path, trained)


def test_verify_finds_a_changed_byte_below(corpus: Source, trained: Tokenizer, tmp_path: Path) -> None:
    build([corpus], trained, tmp_path / "tokens")
    file = next((tmp_path / "tokens").rglob("ids.bin"))
    content = bytearray(file.read_bytes())
    content[10] ^= 4
    file.write_bytes(content)
    assert f"{file}: changed since it was written (checksum)" in verify(tmp_path / "tokens")
    assert verify(tmp_path / "tokens" / "source-0") != []
    assert len(verify(tmp_path / "tokens", "b" * 64)) == 2


def test_length_quantiles(tmp_path: Path) -> None:
    stores = [
        store.write(
            tmp_path / str(i),
            [np.zeros(length, dtype=np.uint32) for length in lengths],
            vocab_size=1,
            vocabulary_hash="",
        )
        for i, lengths in enumerate([range(1, 51), range(100, 50, -1)])
    ]
    assert length_quantiles(stores) == {
        "0": 1, "0.1": 10, "0.25": 25, "0.5": 50, "0.75": 75, "0.9": 90, "0.99": 99, "1": 100
    }  # fmt: skip
