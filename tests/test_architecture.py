"""The picture of the design, held: corpus → tokens → batches → model → pretrain, evals → report; imports point left."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "anaume"

# What each room may import beside itself. The top-level modules are verbs' entry points and nouns shared by all.
SHARED = {"", "errors", "files", "orphans", "recipe", "run"}
ALLOWED = {
    "errors": set[str](),
    "files": {"errors"},
    "orphans": set[str](),
    "corpus": {"", "errors", "files"},
    "recipe": {"errors", "corpus"},
    "run": SHARED,
    "tokens": SHARED | {"corpus"},
    "batches": SHARED | {"corpus", "tokens"},
    "model": SHARED | {"corpus", "tokens", "batches"},
    "pretrain": SHARED | {"corpus", "tokens", "batches", "model"},
    "evals": SHARED | {"corpus", "tokens", "batches", "model"},
    "report": SHARED | {"evals"},
}
HEAVY = {"torch", "transformers", "sentence_transformers", "datasets"}


def _imports(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _room(parts: tuple[str, ...]) -> str:
    return parts[0].removesuffix(".py") if parts else ""


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(SOURCE)) for file in FILES])
def test_imports_point_left(file: Path) -> None:
    room = _room(file.relative_to(SOURCE).parts)
    if room not in ALLOWED:
        pytest.skip("a verb's entry point may import what it starts")
    rooms = {path.name.removesuffix(".py") for path in SOURCE.iterdir()}
    for name in _imports(file):
        if name.split(".")[0] == "anaume":
            target = name.split(".")[1] if name.split(".")[1] in rooms else ""
            assert target == room or target in ALLOWED[room], f"{room} imports {name}"
        if room == "report":
            assert name.split(".")[0] not in HEAVY, f"report imports {name}"


def test_report_reads_records_only() -> None:
    names = {name for file in (SOURCE / "report").rglob("*.py") for name in _imports(file)}
    evals = {".".join(name.split(".")[:3]) for name in names if name.startswith("anaume.evals")}
    assert evals <= {"anaume.evals.result"}
