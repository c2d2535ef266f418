"""Texts of every kind on the command line: the options of a corpus, and consoles and names that are not UTF-8."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from anaume import cli
from anaume.tokenizer.load import Tokenizer

from ..conftest import Finished

Command = Callable[..., Finished]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def test_the_options_of_a_corpus(folder: Path, tmp_path: Path, trained: Tokenizer, command_line: Command) -> None:
    (folder / "a.txt").write_bytes("東京都の人口\r\n大阪府の面積\r\n".encode("cp932"))
    (folder / "b.ndjson").write_bytes('{"content": "北海道"}\n{"content": null}\n'.encode("cp932"))
    out = tmp_path / "tokens"
    options = ["--text-field", "content", "--encoding", "cp932", "--documents", "lines", "--bad-lines", "0.5"]
    finished = command_line("tokens", folder, "--tokenizer", trained.folder, "--out", out, *options)
    assert finished.status == 0, finished.err
    assert finished.out.startswith(f"{out}: 3 documents, ")
    assert f"  {folder}/b.ndjson:2: `content` is null, not a string" in finished.out
    again = command_line("tokens", folder, "--tokenizer", trained.folder, "--out", out, *options[:-2])
    assert (again.status, "nothing was left to do" in again.out) == (0, True)
    table = f"{{path = '{folder}/*.txt', encoding = 'cp932', documents = 'lines'}}"
    finished = command_line("tokens", table, "--tokenizer", trained.folder, "--out", tmp_path / "other")
    assert finished.out.startswith(f"{tmp_path}/other: 2 documents, "), finished.err


def test_the_share_of_bad_lines(folder: Path, tmp_path: Path, trained: Tokenizer, command_line: Command) -> None:
    (folder / "a.jsonl").write_text('{"text": "東京都"}\noops\n', encoding="utf-8")
    words = ["tokens", folder, "--tokenizer", trained.folder, "--out", tmp_path / "tokens"]
    finished = command_line(*words)
    assert finished.status == 2
    assert "1 of 2 lines unreadable" in finished.err
    assert command_line(*words, "--bad-lines", "0.5").status == 0
    assert command_line(*words, "--bad-lines", "1.5").status == 2


def test_a_training_of_a_tokenizer_reads_other_fields(folder: Path, tmp_path: Path, command_line: Command) -> None:
    rows = "".join(json.dumps({"body": f"第{i}の文書は港にある。"}) + "\n" for i in range(50))
    (folder / "a.jsonl").write_text(rows, encoding="utf-8")
    words = ["tokenizer", "train", folder, "--vocab-size", 600, "--out", tmp_path / "tokenizer"]
    assert "`text_field` names another field" in command_line(*words).err
    assert command_line(*words, "--text-field", "body").status == 0


def test_a_console_and_names_that_are_not_utf_8(
    folder: Path, tmp_path: Path, trained: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is Shift_JIS, as unzip leaves it; the console of Windows has neither its bytes nor emoji."""
    (folder / os.fsdecode("表.jsonl".encode("cp932"))).write_text('{"text": "a"}\n{"😀": 1}\n', encoding="utf-8")
    out = tmp_path / os.fsdecode(b"\xff\xfe tokens")
    words = ["tokens", str(folder), "--tokenizer", str(trained.folder), "--out", str(out), "--bad-lines", "0.5"]
    monkeypatch.setattr(sys, "argv", ["anaume", *words])
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="cp932") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    streams[0].flush()
    shown = streams[0].buffer.getvalue().decode("cp932")
    assert stop.value.code == 0
    assert shown.startswith(f"{tmp_path}/\\udcff\\udcfe tokens: 1 documents, ")
    assert f"  {folder}/\\x95\\.jsonl:2: no `text` (it has \\U0001f600)" in shown
