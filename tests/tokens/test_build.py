"""Builds are whole, idempotent and independent of the number of processes, and never replace other tokens."""

import dataclasses
import json
import os
import threading
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tokenizers
from tokenizers import models, pre_tokenizers, processors

from anaume.corpus import storage
from anaume.corpus.readers import documents
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.recipe.tables import Corpus
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokens import store
from anaume.tokens.build import build, open_stores, verify
from anaume.tokens.summary import LengthCounts, count_lengths, describe, length_histogram, length_quantiles


def files(folder: Path) -> dict[str, bytes]:
    """Name → content of the ids and document ends of the stores in a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.bin"))}


def write_lines(path: Path, *texts: str | None) -> None:
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


@pytest.mark.parametrize("threads", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_processes_give_the_same_bytes(corpus: Source, trained: Tokenizer, tmp_path: Path, threads: int) -> None:
    """Workers are forks of this process, or new processes if it has another thread."""
    ended = threading.Event()
    others = [threading.Thread(target=ended.wait) for _ in range(threads)]
    for thread in others:
        thread.start()
    try:
        parallel = build([corpus], trained, tmp_path / "parallel", workers=2)
    finally:
        ended.set()
    serial = build([corpus], trained, tmp_path / "serial")
    assert files(tmp_path / "serial") == files(tmp_path / "parallel")
    assert (serial.tokens, serial.length_quantiles) == (parallel.tokens, parallel.length_quantiles)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_pieces_of_a_large_file_give_the_same_documents(
    corpus: Source, trained: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    texts = [document.text for document in documents(corpus)]
    if kind == "jsonl":
        write_lines(tmp_path / "large.jsonl", *texts)
    else:
        pq.write_table(pa.table({"text": texts}), tmp_path / "large.parquet", row_group_size=3)
    source = Source.model_validate({"path": f"{tmp_path}/large.*"})
    build([source], trained, tmp_path / "whole")
    (whole,) = open_stores(tmp_path / "whole", trained)
    monkeypatch.setattr(storage, "PIECE", 10_000)
    summaries = [build([source], trained, tmp_path / f"{workers}", workers=workers) for workers in (1, 3)]
    assert files(tmp_path / "1") == files(tmp_path / "3")
    (pieces,) = open_stores(tmp_path / "3", trained)
    assert len(pieces.shards) > 3
    assert len(pieces) == len(whole) == len(texts)
    for index in range(len(whole)):
        np.testing.assert_array_equal(pieces.document(index), whole.document(index))
    assert summaries[0].length_histogram == summaries[1].length_histogram
    assert build([source], trained, tmp_path / "3").encoded_tokens == 0


def test_a_lost_piece_is_the_only_one_made_again(
    trained: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(tmp_path / "a.jsonl", *(f"{i} の人口" for i in range(100)))
    monkeypatch.setattr(storage, "PIECE", 500)
    source = Source.model_validate({"path": f"{tmp_path}/a.jsonl"})
    build([source], trained, tmp_path / "tokens")
    before = files(tmp_path / "tokens")
    shards = sorted(path for path in (tmp_path / "tokens" / "source-0").iterdir() if path.is_dir())
    (shards[2] / "header.json").unlink()
    summary = build([source], trained, tmp_path / "tokens")
    assert summary.encoded_tokens == store.read_header(shards[2]).tokens < summary.tokens
    assert files(tmp_path / "tokens") == before


def test_remote_files(trained: Tokenizer, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/corpus/{name}.jsonl": json.dumps({"text": name}).encode() for name in "ab"})
    source = Source.model_validate({"path": "memory://corpus/*.jsonl"})
    assert build([source], trained, tmp_path / "tokens").documents == 2
    assert build([source], trained, tmp_path / "tokens").encoded_tokens == 0
    memory.pipe("/corpus/b.jsonl", json.dumps({"text": "c"}).encode())
    changed = build([source], trained, tmp_path / "tokens")
    assert changed.encoded_tokens == len(trained.encode(["c"])[0])


def test_an_unreadable_part_in_a_worker_is_reported(trained: Tokenizer, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", "a")
    (tmp_path / "b.jsonl").write_text("oops\n")
    source = Source.model_validate({"path": f"{tmp_path}/*.jsonl"})
    with pytest.raises(UserError, match=r"b\.jsonl: 1 of 1 lines unreadable"):
        build([source], trained, tmp_path / "tokens", workers=2)
    with pytest.raises(UserError, match="no token store, or not a whole one"):
        open_stores(tmp_path / "tokens", trained)


def test_whole_shards_are_not_made_again(trained: Tokenizer, tmp_path: Path) -> None:
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
    stale = out / "source-0" / f".{parts[2].name}.anaume.01234567.new"
    stale.mkdir()
    again = build([source], trained, out)
    after = [path.stat().st_ino for path in parts]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False]
    assert not stale.exists()
    assert 0 < again.encoded_tokens < again.tokens
    assert again.tokens > first.tokens
    assert verify(out) == []


def test_a_killed_worker_is_reported_in_one_line(
    corpus: Source, trained: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Forces a fork even if other tests left threads: a spawned worker would load a tokenizer that doesn't kill it.
    monkeypatch.setattr(threading, "active_count", lambda: 1)

    def die(_: object) -> None:
        os.kill(os.getpid(), 9)

    deadly = dataclasses.replace(trained, _encode=die)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"^a worker ended with status -9 .*; finished parts stay: run the same"):
        build([corpus], deadly, tmp_path / "tokens", workers=2)


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


def test_a_shard_whose_header_has_changed_is_made_again(corpus: Source, trained: Tokenizer, tmp_path: Path) -> None:
    summary = build([corpus], trained, tmp_path)
    header, *_ = tmp_path.glob("source-0/*/header.json")
    whole = header.read_bytes()
    header.write_bytes(whole.replace(b'"characters"', b'"chbracters"'))
    assert build([corpus], trained, tmp_path).characters == summary.characters
    assert header.read_bytes() == whole


def test_bad_lines_and_empty_documents_are_in_the_summary(trained: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": " "}\noops\n')
    source = Source.model_validate({"path": str(tmp_path / "a.jsonl"), "bad_lines": 0.5})
    for _ in range(2):  # also when the store is reused
        summary = build([source], trained, tmp_path / "tokens")
        assert (summary.documents, summary.bad_lines, summary.empty_documents) == (1, 1, 1)
        (line,) = summary.first_bad
        assert line.startswith(f"{tmp_path}/a.jsonl:3: not JSON (")
        assert f"  {line}" in describe(summary)


def test_the_first_bad_lines_are_named_the_rest_counted(trained: Tokenizer, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jsonl").write_text('{"text": "a"}\n' * 7 + "oops\n" * 3)
    source = Source.model_validate({"path": f"{tmp_path}/*.jsonl", "bad_lines": 0.5})
    summary = build([source], trained, tmp_path / "tokens")
    assert summary.bad_lines == 6
    assert [line.split(": ")[0] for line in summary.first_bad] == [
        f"{tmp_path}/{place}" for place in ("a.jsonl:8", "a.jsonl:9", "a.jsonl:10", "b.jsonl:8", "b.jsonl:9")
    ]


def test_the_summary(corpus: Source, trained: Tokenizer, tmp_path: Path) -> None:
    summary = build([corpus], trained, tmp_path / "tokens")
    texts = [document.text for document in documents(corpus)]
    lengths = [len(ids) for ids in trained.encode(texts)]
    assert summary.characters_per_token == pytest.approx(sum(map(len, texts)) / sum(lengths), abs=1e-4)
    assert summary.tokens_per_second == pytest.approx(summary.tokens / summary.seconds, rel=0.1)
    counts, _ = np.histogram(np.array(lengths) - 1, bins=range(0, 8193, 128))  # (low, high], as [low, high)
    assert [row["documents"] for row in summary.length_histogram] == [*counts.tolist(), 0]
    written = json.loads((tmp_path / "tokens" / "summary.json").read_text())
    assert written.pop("checksum")
    assert written == json.loads(json.dumps(dataclasses.asdict(summary)))
    assert describe(summary)[0].startswith(f"40 documents, {sum(lengths):,} tokens, ")


def test_length_histogram() -> None:
    rows = length_histogram(LengthCounts(np.array([1, 128, 129, 8192, 8193, 100_000]), np.ones(6, np.int64)))
    assert len(rows) == 65
    assert [rows[i]["documents"] for i in (0, 1, 2, 63, 64)] == [2, 1, 0, 1, 2]
    assert rows[1] == {"low": 128, "high": 256, "documents": 1}
    assert rows[64] == {"low": 8192, "high": None, "documents": 2}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("summary.json", "{}", r"holds a summary\.json of something else; expected a new folder"),
        ("sources.json", "{}", r"sources\.json: not what `anaume tokens` writes"),
        ("sources.json", "[1, 2]", r"sources\.json: not what `anaume tokens` writes"),
        ("sources.json", "hello", r"sources\.json: not what `anaume tokens` writes"),
    ],
)
def test_foreign_files_are_not_written_over(
    corpus: Source, trained: Tokenizer, tmp_path: Path, name: str, content: str, message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message):
        build([corpus], trained, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == content


def test_a_corpus_without_text(trained: Tokenizer, tmp_path: Path) -> None:
    write_lines(tmp_path / "a.jsonl", "", "  ")
    source = Source.model_validate({"path": str(tmp_path / "a.jsonl")})
    with pytest.raises(UserError, match="no document found; expected"):
        build([source], trained, tmp_path / "tokens")


def test_other_tokens_are_not_written_over(corpus: Source, trained: Tokenizer, tmp_path: Path) -> None:
    out = tmp_path / "tokens"
    build([corpus], trained, out)
    before = files(out)
    other = dataclasses.replace(trained, vocabulary_hash="b" * 64)
    with pytest.raises(UserError, match="holds tokens of another tokenizer; expected a new folder"):
        build([corpus], other, out)
    with pytest.raises(UserError, match="made with another tokenizer"):
        open_stores(out, other)
    limited = corpus.model_copy(update={"max_documents": 3})
    with pytest.raises(UserError, match="holds tokens of other sources; expected a new folder"):
        build([limited], trained, out)
    assert files(out) == before
    assert build([corpus.model_copy(update={"weight": 3.0})], trained, out).encoded_tokens == 0


def test_max_documents(corpus: Source, trained: Tokenizer, tmp_path: Path) -> None:
    build([corpus.model_copy(update={"max_documents": 25})], trained, tmp_path / "tokens", workers=2)
    (limited,) = open_stores(tmp_path / "tokens", trained)
    assert len(limited) == 25


def test_no_tokens(trained: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no tokens; expected a folder that `anaume tokens` wrote"):
        open_stores(tmp_path, trained)


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
    assert length_quantiles(count_lengths(stores)) == {
        "0": 1, "0.1": 10, "0.25": 25, "0.5": 50, "0.75": 75, "0.9": 90, "0.99": 99, "1": 100
    }  # fmt: skip


def test_the_longest_document_is_exact(tmp_path: Path) -> None:
    long = np.zeros((1 << 20) + 12_345, dtype=np.uint32)
    long_store = store.write(tmp_path / "long", [long[:5], long, long[:5]], vocab_size=1, vocabulary_hash="")
    counts = count_lengths([long_store, long_store])
    assert (counts.lengths.tolist(), counts.documents.tolist()) == ([5, len(long)], [4, 2])
    assert length_quantiles(counts)["1"] == len(long)


@pytest.mark.slow
def test_a_share_of_the_corpus_is_held_out(corpus: Source, trained: Tokenizer, tmp_path: Path) -> None:
    divided = Corpus(train=[corpus], validation_share=0.25)
    build(divided.sources("train"), trained, tmp_path / "train", workers=2)
    build(divided.sources("validation"), trained, tmp_path / "validation")
    build([corpus], trained, tmp_path / "all")

    def texts(name: str) -> list[bytes]:
        (opened,) = open_stores(tmp_path / name, trained)
        return [opened.document(d).tobytes() for d in range(len(opened))]

    assert sorted(texts("train") + texts("validation")) == sorted(texts("all"))
    assert 2 < len(texts("validation")) < 20
    assert build(divided.sources("train"), trained, tmp_path / "train").encoded_tokens == 0


def test_names_that_are_not_utf_8(trained: Tokenizer, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    write_lines(folder / os.fsdecode(b"\x94\x4c.jsonl"), *["東京都"] * 200, None)
    source = Source(path=str(folder))
    summary = build([source], trained, tmp_path / "tokens")
    assert summary.first_bad == [f"{folder}/\\x94L.jsonl:201: `text` is null, not a string"]
    assert verify(tmp_path / "tokens") == []
    assert build([source], trained, tmp_path / "tokens").encoded_tokens == 0


def test_a_source_of_tokens_is_used_in_place(tmp_path: Path, corpus: Source, trained: Tokenizer) -> None:
    build([corpus], trained, tmp_path / "made")
    source = Source(tokens=str(tmp_path / "made"), weight=2.0)
    summary = build([corpus, source], trained, tmp_path / "used")
    own, shared = open_stores(tmp_path / "used", trained)
    assert [len(own.document(d)) for d in range(len(own))] == [len(shared.document(d)) for d in range(len(shared))]
    assert {shard.parent for shard in shared.shards} == {tmp_path / "made" / "source-0"}
    assert not list((tmp_path / "used").glob("source-1/*/ids.bin"))
    assert summary.documents == 2 * len(own)
    assert verify(tmp_path / "used") == []


def test_tokens_that_do_not_fit_are_an_error(tmp_path: Path, corpus: Source, trained: Tokenizer) -> None:
    two = tmp_path / "two"
    build([corpus, corpus], trained, two)
    with pytest.raises(UserError, match="holds 2 sources; expected one of its folders source-0, source-1"):
        build([Source(tokens=str(two))], trained, tmp_path / "out")
    build([Source(tokens=str(two / "source-1"))], trained, tmp_path / "out")
    with pytest.raises(UserError, match="made with another tokenizer"):
        build(
            [Source(tokens=str(two / "source-1"))],
            dataclasses.replace(trained, vocabulary_hash="0" * 64),
            tmp_path / "other",
        )
    with pytest.raises(UserError, match="nowhere: no token store"):
        build([Source(tokens=str(tmp_path / "nowhere"))], trained, tmp_path / "none")
    with pytest.raises(UserError, match="holds tokens, not text; expected path, hub or builtin"):
        next(documents(Source(tokens=str(two))))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "two"]


def test_unknown_tokens_are_counted_and_many_of_them_are_told(tmp_path: Path) -> None:
    """WordPiece knows no 猫; fast tokenizers of its kind used to lose unknown words on their way into a store."""
    vocabulary = {name: i for i, name in enumerate(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]", "東", "京"])}
    engine = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.add_special_tokens(["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"])
    engine.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    (tmp_path / "tokenizer").mkdir()
    engine.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    (tmp_path / "text.jsonl").write_text(json.dumps({"text": "東 猫 京 [MASK]"}) + "\n")
    wordpiece = load_tokenizer(tmp_path / "tokenizer")
    summary = build([Source(path=str(tmp_path / "text.jsonl"))], wordpiece, tmp_path / "tokens")
    (stored,) = open_stores(tmp_path / "tokens", wordpiece)
    assert stored.document(0).tolist() == [5, 0, 6, 0, 0, 0]
    assert (summary.tokens, summary.unknown_tokens) == (6, 4)
    assert "66.7% of the tokens are unknown: the tokenizer was not made for this text" in describe(summary)
