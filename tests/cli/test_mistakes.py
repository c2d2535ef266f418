"""What bad input gets, through the command line: one line with place, value and what is accepted, and no run."""

import json
import sys
from pathlib import Path

import pytest
import tokenizers
from transformers import PreTrainedTokenizerFast

from anaume import cli
from anaume.recipe import Recipe, to_toml
from anaume.run import Run


@pytest.fixture
def recipe_file(tiny: Recipe, tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(tiny), encoding="utf-8")
    return path


def _pretrain(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["anaume", "pretrain", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


GOOD = json.dumps({"text": "岩手県の県庁所在地は盛岡市です。"}, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "corpus.jsonl"),
        (b"", "corpus.jsonl"),
        (GOOD + b"\n{not json\n", "corpus.jsonl"),
        (GOOD + b'\n{"title": "no text"}\n', "text"),
        (GOOD + b'\n{"text": 3}\n', "text"),
        (GOOD + b'\n{"text": "\xff\xfe"}\n', "UTF-8"),
    ],
    ids=["missing", "empty", "not JSON", "no text", "text is no string", "not UTF-8"],
)
def test_a_corpus_that_cannot_be_read(
    content: bytes | None,
    said: str,
    recipe_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    if content is not None:
        corpus.write_bytes(content)
    run = tmp_path / "run"
    assert _pretrain(monkeypatch, recipe_file, "--run", run, "--set", f"corpus.train.0.path={corpus}") == 2
    error = capsys.readouterr().err
    last = error.strip().splitlines()[-1]
    assert last.startswith("anaume: ")
    assert said in error
    assert "Traceback" not in error
    assert not (run / "recipe.toml").exists()


def test_a_tokenizer_without_a_mask(
    recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = {"<unk>": 0, "[PAD]": 1, "[CLS]": 2, "[SEP]": 3, "県": 4}
    engine = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    names = {"unk_token": "<unk>", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=engine, **names).save_pretrained(tmp_path / "maskless")
    arguments = ("--run", tmp_path / "run", "--set", f"tokenizer.load={tmp_path / 'maskless'}")
    assert _pretrain(monkeypatch, recipe_file, *arguments) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("anaume: ")
    assert "mask" in last


def test_a_run_of_another_recipe(
    recipe_file: Path, straight: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = straight.metrics_file.read_bytes()
    assert _pretrain(monkeypatch, recipe_file, "--run", straight.folder, "--set", "stage.first.steps=7") == 2
    assert "stage.0.steps = 7: a run keeps this key; expected 6" in capsys.readouterr().err
    assert straight.metrics_file.read_bytes() == before
