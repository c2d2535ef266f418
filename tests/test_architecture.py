"""The architecture as a rule: imports point left along the rooms of the picture, and every room stays small."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "anaume"

# The picture: a room imports itself and the rooms before it.
PICTURE = (
    "corpus",
    "tokenizer",
    "tokens",
    "batches",
    "model",
    "pretrain",
    "export",
    "encoder",
    "finetune",
    "evals",
    "report",
    "publish",
    "play",
)
# What every room may import: small things, the tables of a recipe, and the paths of a run directory.
SHARED = (
    "",
    "bounds",
    "checkpoints",
    "errors",
    "files",
    "formats",
    "processes",
    "progress",
    "recipe",
    "remote_code",
    "run",
    "verbs",
)
# The shared modules themselves, each with what it imports.
FOUNDATION = {
    "": {"api", "errors", "evals", "model"},  # the public names, each imported when it is first used
    "bounds": set[str](),
    "checkpoints": {"errors", "files"},
    "errors": set[str](),
    "files": {"", "errors"},
    "formats": set[str](),
    "processes": set[str](),
    "progress": set[str](),
    "recipe": {"bounds", "errors", "corpus"},
    "remote_code": set[str](),
    "run": {"", "checkpoints", "errors", "files", "recipe"},
    "verbs": set[str](),
}
# Verbs that run several rooms together.
VERBS = {"__main__", "api", "bench", "cli", "demo", "plan", "reproduce", "verify"}
# Rooms right of `pretrain` that must run without it: a checkpoint or a Hugging Face folder is all they need.
WITHOUT_PRETRAIN = {"export", "encoder", "finetune", "evals", "report", "publish", "play"}
HEAVY = {"torch", "transformers", "sentence_transformers", "datasets"}

FILES = sorted(SOURCE.rglob("*.py"))
NAMES = [str(file.relative_to(SOURCE)) for file in FILES]


def _imports(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _room(file: Path) -> str:
    name = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    return "" if name == "__init__" else name


def _allowed(room: str) -> set[str]:
    if room in FOUNDATION:
        return FOUNDATION[room]
    if room in VERBS:
        return {*SHARED, *PICTURE, *VERBS}
    before = {*PICTURE[: PICTURE.index(room)]}
    return {*SHARED, *before} - ({"pretrain"} if room in WITHOUT_PRETRAIN else set())


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_imports_point_left(file: Path) -> None:
    room = _room(file)
    rooms = {path.name.removesuffix(".py") for path in SOURCE.iterdir()}
    for name in _imports(file):
        first, _, rest = name.partition(".")
        if first == "anaume":
            target = rest.split(".")[0] if rest.split(".")[0] in rooms else ""
            assert target == room or target in _allowed(room), f"{room} imports {name}"
        if room == "report":
            assert first not in HEAVY, f"report imports {name}"


def test_report_reads_records_only() -> None:
    names = {name for file in (SOURCE / "report").rglob("*.py") for name in _imports(file)}
    evals = {".".join(name.split(".")[:3]) for name in names if name.startswith("anaume.evals")}
    assert evals <= {"anaume.evals.record"}


@pytest.mark.parametrize("file", FILES, ids=NAMES)
def test_a_file_has_one_job(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count("\n") <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{node.name} does not fit on a screen"


def test_a_floor_has_a_dozen_files() -> None:
    floors = {file.parent for file in FILES}
    sizes = {str(floor.relative_to(SOURCE)): len(list(floor.glob("*.py"))) for floor in floors}
    assert {name: size for name, size in sizes.items() if size > 12} == {}


def test_no_two_classes_share_a_name() -> None:
    """One word has one meaning in the whole package."""
    trees = [ast.parse(file.read_text(encoding="utf-8")) for file in FILES]
    names = [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    assert {name for name in names if names.count(name) > 1} == set()
