"""`anaume recipe`: ready-made recipes are listed and copied, and a new one is never written over a file."""

import sys
from pathlib import Path

import pytest

from anaume import cli
from anaume.recipe import load
from anaume.recipe.ready import ready_recipes


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit status of `anaume recipe WORDS`."""
    monkeypatch.setattr(sys, "argv", ["anaume", "recipe", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_the_list_names_every_recipe_and_its_purpose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "list") == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert set(lines) == set(ready_recipes()) >= {"small", "laptop", "llm-jp-base"}
    assert min(map(len, lines.values())) > 20


def test_a_copy_loads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    assert run(monkeypatch, "copy", "laptop", "--out", str(out)) == 0
    assert load(out) == load(ready_recipes()["laptop"])


BUILTIN = "builtin:hakoniwa"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("copy", "larg"), "larg: no ready-made recipe; expected one of"),
        (
            ("new", "builtin:hakoniwa", "--hours", "1", "--tokenizer", "a", "--init", "b"),
            "--tokenizer a: given with --init",
        ),
        (
            ("new", "builtin:hakoniwa", "--hours", "1", "--device", "abacus"),
            "--device abacus: unknown; expected one of",
        ),
        (("new", BUILTIN, "--hours", "1", "--init", "absent/folder/here"), "absent/folder/here"),
    ],
)
def test_a_mistake_is_one_line_and_writes_nothing(
    words: tuple[str, ...],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    assert run(monkeypatch, *words, "--out", str(tmp_path / "mine.toml")) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_an_existing_file_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    out = tmp_path / "mine.toml"
    out.write_text("mine")
    assert run(monkeypatch, "copy", "laptop", "--out", str(out)) == 2
    assert out.read_text() == "mine"
