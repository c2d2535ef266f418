"""The contract at the edges: verbs, help, one line and exit status 2 on a mistake, quick starts."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from anaume import __version__, cli

from ..conftest import Finished

ROOT = Path(__file__).parents[2]
Command = Callable[..., Finished]


def _commands() -> Iterator[tuple[str, Any]]:
    """Every verb with its parsed form: "eval retrieval" and so on."""

    def walk(words: str, command: Any) -> Iterator[tuple[str, Any]]:
        if hasattr(command, "commands"):
            for name, child in command.commands.items():
                yield from walk(f"{words} {name}".strip(), child)
        else:
            yield words, command

    return walk("", typer.main.get_command(cli.app))


COMMANDS = dict(_commands())


def test_the_version_and_the_shells_completion(command_line: Command) -> None:
    finished = command_line("--version")
    assert (finished.status, finished.out.split()) == (0, ["anaume", __version__])
    assert "--install-completion" in command_line("--help").out


@pytest.mark.parametrize("verb", COMMANDS)
def test_each_verb_has_help_with_an_example(verb: str, command_line: Command) -> None:
    finished = command_line(*verb.split(), "--help")
    assert finished.status == 0
    assert f"Example: anaume {verb}" in " ".join(finished.out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("pretain r.toml", "No such command 'pretain'"),
        ("pretrain", "Missing argument 'RECIPE.toml'"),
        ("pretrain absent.toml --run out", "absent.toml: cannot read the recipe (No such file or directory)"),
        ("export absent --out out", "absent: not a run directory"),
        ("eval jgle model --out out", "task 'jgle': unknown; expected jglue, or another of validation, fill-mask"),
        ("eval retrieval model --out out", "eval retrieval: --pairs or --collection is missing"),
        ("eval retrieval model --pairs p", "eval retrieval: --out is missing"),
        ("eval geometry model --out out", "eval geometry: --pairs is missing"),
        ("eval pseudo-perplexity model --out out", "eval pseudo-perplexity: --texts is missing"),
        ("eval geometry model --text x", "eval geometry: --text: not an option here; expected with fill-mask"),
        ("eval retrieval model --documents=5", "--documents: not an option here; expected with pseudo-perplexity"),
        ("eval all run --top-k 3", "eval all: --top-k: not an option here; expected with fill-mask"),
        ("eval retrieval model --pears p", "No such option: --pears"),
        ("verify", "Missing argument 'FOLDER…'"),
        ("eval fill-mask model --text x", "model: "),
        ("tokenizer train x --vocab-size 10 --out out", "vocabulary size 10: too small; expected at least 364"),
        ("tokens absent*.jsonl --tokenizer absent --out out", "absent"),
        ("report absent --out out", "absent"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command_line: Command
) -> None:
    monkeypatch.chdir(tmp_path)
    finished = command_line(*arguments.split())
    assert finished.status == 2
    assert message in finished.err
    assert finished.err.startswith("anaume: ")
    assert finished.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_help_imports_nothing_heavy() -> None:
    """What makes a verb start in under half a second."""
    heavy = ("torch", "transformers", "numpy", "pydantic", "pyarrow")
    code = f"import sys, anaume.cli; print([name for name in {heavy} if name in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def _examples() -> list[str]:
    """Commands that users see: those of the pages' code blocks, and those after a colon in the help of the verbs."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    lines = [line for page in pages for line in page.read_text(encoding="utf-8").splitlines()]
    helps = [command.help or "" for command in COMMANDS.values()]
    return [
        *(line.strip() for line in lines if line.startswith(("    anaume ", "    torchrun "))),
        *re.findall(r"^[A-Z][A-Za-z ]*: ((?:anaume|torchrun) .*)$", "\n".join(helps), re.MULTILINE),
    ]


def test_examples_are_extracted() -> None:
    assert {"anaume demo --out demo", "anaume batch runs/small --stage stage1 --step 1234"} <= set(_examples())
    assert sum(example.startswith("torchrun") for example in _examples()) == 2


@pytest.mark.parametrize("example", _examples())
def test_each_example_parses(example: str) -> None:
    """Typer parses the words of a verb, and torchrun its own before them; no verb runs."""
    group = typer.main.get_command(cli.app)
    words = shlex.split(example.split("#")[0])[1:]
    if example.startswith("torchrun"):
        from torch.distributed.run import parse_args

        launched = parse_args(words)
        assert launched.module
        assert launched.training_script == "anaume"
        words = launched.training_script_args
    words[:2] = cli.ALIASES.get((words[0], words[1]), words[:2])
    context = group.make_context("anaume", words)
    name, verb, rest = group.resolve_command(context, [*context._protected_args, *context.args])  # type: ignore[attr-defined]
    if hasattr(verb, "resolve_command"):
        name, verb, rest = verb.resolve_command(context, rest)
    assert verb is not None
    verb.make_context(name, rest)
