"""Training a vocabulary: its layout, determinism, and sizes that do not suit the corpus."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokenizer.train import Kind, train_tokenizer

from .engines import plain


def test_layout_of_a_trained_vocabulary(trained: Tokenizer) -> None:
    engine = plain(trained.folder)
    first = [engine.id_to_token(i) for i in range(10)]
    assert first == [
        "<unk>", "<s>", "</s>", "<MASK|anaume>", "<PAD|anaume>", "<CLS|anaume>", "<SEP|anaume>", "<EOD|anaume>",
        "<0x00>", "<0x01>",
    ]  # fmt: skip
    assert trained.vocab_size == 560
    assert trained.special_ids == tuple(range(8))
    pieces = [engine.id_to_token(int(i)) for i in trained.encode(["東京都の人口について述べる。1945年"])[0]]
    assert pieces[0] == "▁"
    assert "▁東" not in pieces  # Words are learnt without the dummy prefix.
    assert "京都" in pieces
    assert pieces[-5:] == ["1", "9", "4", "5", "年"]


def test_training_is_deterministic(trained: Tokenizer, corpus: Source, tmp_path: Path) -> None:
    train_tokenizer([corpus], 560, tmp_path / "again")
    for file in trained.folder.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes()
    assert load_tokenizer(tmp_path / "again").vocabulary_hash == trained.vocabulary_hash


def test_training_reads_all_files_of_a_source(tmp_path: Path) -> None:
    for name, letters in (("a", "あいうえおかきくけこ"), ("b", "さしすせそたちつてと")):
        rows = [{"text": letters[i % 10 :] + letters[: i % 7]} for i in range(3000)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = Source.model_validate({"path": f"{tmp_path}/*.jsonl"})
    train_tokenizer([source], 400, tmp_path / "out", max_characters=10_000)
    assert len(load_tokenizer(tmp_path / "out").encode(["さしすせそたちつてと"])[0]) <= 10  # bytes: 30


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (300, "vocabulary size 300: too small; expected at least 364"),
        (380, r"vocabulary size 380: too small; expected more than 4\d\d for this corpus"),
    ],
)
def test_vocabulary_sizes_too_small_for_the_corpus(corpus: Source, tmp_path: Path, size: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train_tokenizer([corpus], size, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_corpus_with_too_few_pieces_gives_a_smaller_vocabulary_and_a_message(
    corpus: Source, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_tokenizer([corpus], 50_000, tmp_path / "out")
    size = load_tokenizer(tmp_path / "out").vocab_size
    assert 560 < size < 2_000
    assert f"the corpus gives {size:,} pieces, not 50,000" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), UserError("text.jsonl: cut off")], ids=["Ctrl-C", "mistake"])
def test_what_ends_the_reading_is_not_hidden(
    error: BaseException, kind: Kind, corpus: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SentencePiece makes a RuntimeError of every exception that its reader meets."""

    def broken(*_: object) -> Iterator[str]:
        yield "some text"
        raise error

    for name in ("sample_texts", "part_texts"):
        monkeypatch.setattr(f"anaume.tokenizer.train.{name}", broken)
    with pytest.raises(type(error)) as told:
        train_tokenizer([corpus], 560, tmp_path / "out", kind=kind)
    assert str(told.value) == str(error)
    assert not (tmp_path / "out").exists()
