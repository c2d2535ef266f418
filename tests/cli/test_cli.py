"""The contract at the edges: verbs, help, one line and exit status 2 on a mistake, quick starts."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from anaume import cli

ROOT = Path(__file__).parents[2]
VERBS = [
    "demo",
    "tokenizer train",
    "tokenizer adapt",
    "tokens",
    "pretrain",
    "batch",
    "export",
    "eval",
    "pairs",
    "contrast",
    "report",
    "plan",
    "bench",
]


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["anaume", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_help_with_an_example(
    verb: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, *verb.split(), "--help") == 0
    assert f"Example: anaume {verb}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("pretain r.toml", "No such command 'pretain'"),
        ("pretrain", "Missing argument 'RECIPE.toml'"),
        ("pretrain absent.toml --run out", "absent.toml: cannot read the recipe (No such file or directory)"),
        ("export absent --out out", "absent: not a run directory"),
        ("eval jgle model --out out", "task 'jgle'; accepted: jglue, validation, fill-mask, pseudo-"),
        ("eval retrieval model --out out", "eval retrieval: --pairs is missing"),
        ("eval retrieval model --pairs p", "eval retrieval: --out is missing"),
        ("eval geometry model --out out", "eval geometry: --pairs is missing"),
        ("eval pseudo-perplexity model --out out", "eval pseudo-perplexity: --texts is missing"),
        ("eval geometry model --text x", "eval geometry: --text 'x' is an option of fill-mask"),
        ("eval fill-mask model --text x", "model: "),
        ("tokenizer train x --vocab-size 10 --out out", "vocabulary size 10: too small; expected at least 364"),
        ("tokens absent*.jsonl --tokenizer absent --out out", "absent"),
        ("report absent --out out", "absent"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _run(monkeypatch, *arguments.split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.startswith("anaume: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_heavy() -> None:
    """What makes a verb start in under half a second."""
    heavy = ("torch", "transformers", "numpy", "pydantic")
    code = f"import sys, anaume.cli; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def _commands() -> list[str]:
    """The README's, which are indented or in backticks, and those of the help, after words and a colon."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    helped = Path(cli.__file__).read_text(encoding="utf-8")
    return [
        *(line.strip() for line in readme.splitlines() if line.startswith("    anaume ")),
        *re.findall(r"`(torchrun [^`]+)`", readme),
        *re.findall(r"^    [A-Z][A-Za-z ]*: ((?:anaume|torchrun) .*)$", helped, re.MULTILINE),
    ]


def test_commands_are_found() -> None:
    assert {"anaume demo --out demo", "anaume batch runs/small --stage stage1 --step 1234"} <= set(_commands())
    assert sum(command.startswith("torchrun") for command in _commands()) == 2


@pytest.mark.parametrize("command", _commands())
def test_each_command_that_we_show_parses(command: str) -> None:
    """Typer parses the words, torchrun its own before; the verbs themselves are replaced, so nothing runs."""
    import typer

    group = typer.main.get_command(cli.app)
    words = shlex.split(command.split("#")[0])[1:]
    if command.startswith("torchrun"):
        from torch.distributed.run import parse_args

        launched = parse_args(words)
        assert launched.module
        assert launched.training_script == "anaume"
        words = launched.training_script_args
    context = group.make_context("anaume", words)
    name, verb, rest = group.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
    if hasattr(verb, "resolve_command"):
        name, verb, rest = verb.resolve_command(context, rest)
    assert verb is not None
    verb.make_context(name, rest)
