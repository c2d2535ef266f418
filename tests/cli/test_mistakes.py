"""What bad input gets, through the command line: one line with place, value and what is accepted, and no run."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import typer
from transformers import PreTrainedTokenizerFast

from anaume import cli
from anaume.api.verbs import evaluate
from anaume.errors import UserError
from anaume.recipe import Recipe, to_toml
from anaume.run import Run

from ..conftest import Finished


@pytest.fixture
def recipe_file(tiny: Recipe, tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(to_toml(tiny), encoding="utf-8")
    return path


GOOD = json.dumps({"text": "岩手県の県庁所在地は盛岡市です。"}, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("content", "message"),
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
    message: str,
    recipe_file: Path,
    tmp_path: Path,
    command_line: Callable[..., Finished],
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    if content is not None:
        corpus.write_bytes(content)
    run = tmp_path / "run"
    finished = command_line("pretrain", recipe_file, "--run", run, "--set", f"corpus.train.0.path={corpus}")
    assert finished.status == 2
    assert finished.err.strip().splitlines()[-1].startswith("anaume: ")
    assert message in finished.err
    assert "Traceback" not in finished.err
    assert not (run / "recipe.toml").exists()


def test_a_tokenizer_without_a_mask(recipe_file: Path, tmp_path: Path, command_line: Callable[..., Finished]) -> None:
    words = {"<unk>": 0, "[PAD]": 1, "[CLS]": 2, "[SEP]": 3, "県": 4}
    engine = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    names = {"unk_token": "<unk>", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=engine, **names).save_pretrained(tmp_path / "maskless")
    arguments = ("--run", tmp_path / "run", "--set", f"tokenizer.load={tmp_path / 'maskless'}")
    finished = command_line("pretrain", recipe_file, *arguments)
    assert finished.status == 2
    last = finished.err.strip().splitlines()[-1]
    assert last.startswith("anaume: ")
    assert "mask" in last


def test_a_run_of_another_recipe(recipe_file: Path, straight: Run, command_line: Callable[..., Finished]) -> None:
    before = straight.metrics_file.read_bytes()
    finished = command_line("pretrain", recipe_file, "--run", straight.folder, "--set", "stage.first.steps=7")
    assert finished.status == 2
    assert "stage.0.steps = 7: a run keeps this key; expected 6" in finished.err
    assert straight.metrics_file.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["tokenizer", "adapt", "{model}", "--out", "\udc80"], "--out: \\udc80: its name is not UTF-8"),
        (["tokens", "{text}", "--tokenizer", "\udc80", "--out", "out"], "\\udc80: its name is not UTF-8"),
        (["eval", "fill-mask", "\udc80", "--cloze", "{text}", "--out", "out"], "\\udc80: its name is not UTF-8"),
        (["pretrain", "{recipe}", "--run", "\udc80"], "--run: \\udc80: its name is not UTF-8"),
    ],
    ids=["out", "tokenizer", "model", "run"],
)
def test_a_name_that_is_not_unicode(
    words: list[str],
    line: str,
    tiny: Recipe,
    recipe_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command_line: Callable[..., Finished],
) -> None:
    """The library `tokenizers` can neither open nor write such files."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(tiny.tokenizer.load, "\udc80")
    Path("\udc80", "config.json").write_text("{}")
    values = {"model": tiny.tokenizer.load, "text": tiny.corpus.train[0].path, "recipe": str(recipe_file)}
    finished = command_line(*(word.format(**values) for word in words))
    assert finished.status == 2
    assert f"anaume: {line}; expected a name that is" in finished.err


def _numbers(command: Any, verb: str = "anaume") -> Iterator[tuple[str, Any]]:
    """The verb and the parameter of every number of the command line."""
    for name, below in getattr(command, "commands", {}).items():
        yield from _numbers(below, f"{verb} {name}")
    for parameter in command.params:
        if parameter.type_descriptor.annotation in (int, float):
            yield f"{verb} {max(parameter.opts, key=len)}", parameter


def test_every_number_has_an_upper_bound() -> None:
    """A typing error would otherwise take days, the memory, or end in a traceback of a library."""
    numbers = dict(_numbers(typer.main.get_command(cli.app)))
    assert {"anaume contrast --epochs", "anaume eval pseudo-perplexity --positions"} < numbers.keys()
    assert [name for name, parameter in numbers.items() if parameter.type_descriptor.parameter_info.max is None] == []


def test_a_number_beyond_its_bound(command_line: Callable[..., Finished], tmp_path: Path) -> None:
    finished = command_line("contrast", tmp_path, "--pairs", tmp_path, "--out", tmp_path / "out", "--epochs", 2**63)
    assert finished.status == 2
    assert "'--epochs': Input should be less than or equal to 10000" in finished.err
    with pytest.raises(UserError, match="positions: 9223372036854775808: out of range; expected 1 to 10000000"):
        evaluate("pseudo-perplexity", tmp_path, tmp_path / "out", texts="x", positions=2**63)
