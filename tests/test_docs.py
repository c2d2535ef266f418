"""The pages: their recipes load, their Python compiles and names what exists, their messages are those of the code."""

import ast
import re
import textwrap
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import anaume
from anaume import cli, recipe

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Pages of what was, whose commands may be those of an earlier version.
HISTORY = {"log.md", "changelog.md"}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^    .*\n|^\n(?=    ))+", re.MULTILINE)


def _blocks(language: str) -> list[tuple[str, str]]:
    """(page, content) of the fenced blocks of a language."""
    return [
        (page.name, match[2])
        for page in PAGES
        for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
        if match[1] == language
    ]


def _toml_blocks() -> list[tuple[str, str]]:
    """Fenced blocks of TOML, and indented ones that begin with a table or `name = …`."""
    indented = [
        (page.name, textwrap.dedent(block))
        for page in PAGES
        for block in INDENTED.findall(page.read_text(encoding="utf-8"))
    ]
    return _blocks("toml") + [(page, block) for page, block in indented if re.match(r'\s*(\[|name = ")', block)]


@pytest.mark.parametrize(("page", "text"), _toml_blocks())
def test_each_recipe_loads(page: str, text: str) -> None:
    """A whole recipe loads as it stands, a part of one with the tables that it lacks."""
    table = tomllib.loads(text)
    whole = {"name", "corpus", "stage"} <= table.keys()
    if not whole:
        corpus = {"train": [{"path": "a"}], "validation": [{"path": "a"}]}
        stage = [{"name": "a", "length": 1024, "steps": 100}]
        table = {"name": "a", "tokenizer": {"train": 8192}, "corpus": corpus, "stage": stage} | table
        if not table["corpus"].keys() & {"validation", "validation_share"}:
            table["corpus"] = corpus | table["corpus"]
    assert recipe.parse(table, page).name == table["name"]


def test_recipes_are_extracted() -> None:
    pages = [page for page, text in _toml_blocks() if "stage" in text]
    assert {"README.md", "recipe.md", "your-language.md", "domain.md", "long-context.md"} <= set(pages)
    assert "pretraining.md" in {page for page, _ in _toml_blocks()}


@pytest.mark.parametrize(("page", "text"), _blocks("python"))
def test_each_python_block_names_what_exists(page: str, text: str) -> None:
    tree = ast.parse(text)
    names = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "anaume"
    }
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "anaume"]
    names |= {alias.name for node in imported for alias in node.names}
    assert names <= set(anaume.__all__), page


def _inline_commands() -> list[tuple[str, str]]:
    pages = [page for page in PAGES if page.name not in HISTORY]
    return [
        (page.name, words)
        for page in pages
        for words in re.findall(r"`anaume ([^`]+)`", page.read_text(encoding="utf-8"))
    ]


def test_each_command_within_a_sentence_names_a_verb() -> None:
    import typer

    commands = _inline_commands()
    assert len(commands) > 20
    group = typer.main.get_command(cli.app)
    verbs = group.commands  # type: ignore[attr-defined]
    for page, words in commands:
        verb = words.split()[0]
        assert verb in {*verbs, "VERB", "…"} or verb.startswith("--"), f"{page}: anaume {words}"


def _messages() -> list[str]:
    """The messages of the page of troubleshooting: each stands on a line before its cause, which begins with ":"."""
    lines = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8").splitlines()
    return [line.strip("`").strip() for line, below in pairwise(lines) if below.startswith(": ")]


def _templates() -> set[str]:
    """Every text of the code, with … for each value that is put into it."""
    texts = set()
    for file in (ROOT / "src" / "anaume").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = (str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
                texts.add("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.add(node.value)
    return texts


def test_each_message_of_the_page_is_one_of_the_code() -> None:
    templates = _templates()
    assert len(_messages()) > 50
    assert [message for message in _messages() if message not in templates] == []
