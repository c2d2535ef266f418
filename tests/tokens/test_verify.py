"""`anaume tokens verify` prints one line for each problem of a folder of tokens and ends with status 1."""

import json
import random
import sys
from pathlib import Path

import pytest

from anaume import cli
from anaume.corpus.source import Source
from anaume.tokenizer.load import Tokenizer
from anaume.tokens.build import build, verify


@pytest.fixture
def tokens(corpus: Source, trained: Tokenizer, tmp_path: Path) -> Path:
    """A folder of two sources, the first of two shards."""
    (tmp_path / "c.txt").write_text("東京都の人口")
    build([corpus, Source.model_validate({"path": str(tmp_path / "c.txt")})], trained, tmp_path / "tokens")
    return tmp_path / "tokens"


def run(monkeypatch: pytest.MonkeyPatch, *words: object, verb: str = "verify") -> int:
    monkeypatch.setattr(sys, "argv", ["anaume", "tokens", verb, *map(str, words)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_whole_folders(
    tokens: Path, trained: Tokenizer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = json.loads((tokens / "summary.json").read_text())
    single = tokens / "source-1"
    assert run(monkeypatch, tokens, single, "--tokenizer", trained.folder) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{tokens}: whole: 41 documents, {summary['tokens']:,} tokens",
        f"{single}: whole: 1 documents, {len(trained.encode(['東京都の人口'])[0]):,} tokens",
    ]


def test_every_changed_byte_is_detected(tokens: Path) -> None:
    chance = random.Random(0)
    files = [path for path in sorted(tokens.rglob("*")) if path.is_file() and path.name != ".lock"]
    assert {path.name for path in files} == {"ids.bin", "ends.bin", "header.json", "sources.json", "summary.json"}
    for path in files:
        good = path.read_bytes()
        for _ in range(20):
            content = bytearray(good)
            content[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
            path.write_bytes(content)
            assert any(str(path) in problem for problem in verify(tokens)), f"{path}: {good!r} {content!r}"
        path.write_bytes(good)
    assert verify(tokens) == []


@pytest.mark.parametrize("name", ["ids.bin", "ends.bin", "header.json"])
def test_cut_off_and_missing_files(
    tokens: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next((tokens / "source-0").glob(f"*/{name}"))
    path.write_bytes(path.read_bytes()[:-1])
    for folder in (tokens, tokens / "source-0", path.parent):
        assert run(monkeypatch, folder) == 1
        assert str(path.parent) in capsys.readouterr().out
    path.unlink()
    assert run(monkeypatch, tokens, tokens / "source-1") == 1
    first, second = capsys.readouterr().out.splitlines()
    assert str(path.parent) in first
    assert second.startswith(f"{tokens / 'source-1'}: whole: ")


def test_a_foreign_vocabulary(
    tokens: Path, corpus: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from anaume.tokenizer.train import train_tokenizer

    train_tokenizer([corpus], 600, tmp_path / "other")
    for folder, shards in ((tokens, 3), (tokens / "source-1", 1)):
        assert run(monkeypatch, folder, "--tokenizer", tmp_path / "other") == 1
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == shards
        assert all(": vocabulary " in line and "; expected " in line for line in lines)


def test_a_shard_of_another_vocabulary_among_ours(tokens: Path, corpus: Source, tmp_path: Path) -> None:
    from anaume.tokenizer.load import load_tokenizer
    from anaume.tokenizer.train import train_tokenizer

    train_tokenizer([corpus], 600, tmp_path / "other")
    build([corpus], load_tokenizer(tmp_path / "other"), tmp_path / "foreign")
    shard = next(path for path in (tokens / "source-0").iterdir() if path.is_dir())
    for file in shard.iterdir():
        file.write_bytes((tmp_path / "foreign" / "source-0" / shard.name / file.name).read_bytes())
    assert [problem.startswith(f"{shard}: vocabulary ") for problem in verify(tokens)] == [True]


def test_no_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch) == 2
    assert capsys.readouterr().err == "anaume: Missing argument 'FOLDER…'.\n"
    assert run(monkeypatch, tmp_path / "absent") == 1
    (problem,) = capsys.readouterr().out.splitlines()
    assert problem.startswith(f"{tmp_path / 'absent'}: no token store, run or export; expected ")
    assert list(tmp_path.iterdir()) == []


def test_building_requires_a_tokenizer_and_a_folder(
    trained: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, "--out", "out", verb="a.jsonl") == 2
    assert capsys.readouterr().err == "anaume: Missing option '--tokenizer'.\n"
    assert run(monkeypatch, "--tokenizer", trained.folder, verb="a.jsonl") == 2
    assert capsys.readouterr().err == "anaume: Missing option '--out'.\n"
    assert list(tmp_path.iterdir()) == []


def test_the_verb_prints_the_summary(
    corpus: Source,
    trained: Tokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for last in (" tokens per second", "nothing was left to do"):
        words = ["--tokenizer", trained.folder, "--out", tmp_path / "out"]
        assert run(monkeypatch, *words, verb=corpus.path) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0].startswith(f"{tmp_path / 'out'}: 40 documents, ")
        assert lines[0].endswith(" characters per token")
        assert lines[1].startswith("half of the documents have up to ")
        assert lines[2].endswith(last)
