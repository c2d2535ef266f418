"""What the trials work on: a small corpus, a tokenizer, a run, an export and evaluation files, all made by commands."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from tests.faults import commands

from anaume import recipe as recipes
from anaume.corpus.hakoniwa.tasks.write import write_tasks
from anaume.recipe import Recipe
from anaume.run import Run

# Trials of a kind: a few in the whole test suite, many by `make faults`.
LONG = bool(os.environ.get("ANAUME_FAULTS_LONG"))

# Every test of hypothesis in this folder. The short form draws the same examples each time. A test whose function gets
# a fixture writes its files anew for each example.
settings.register_profile(
    "faults",
    max_examples=1000 if LONG else 25,
    deadline=None,
    derandomize=not LONG,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],  # an explanation of a failure takes minutes
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("faults")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every trial starts processes."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker("slow")


@dataclass(frozen=True)
class Work:
    """Read-only inputs of the trials: a recipe in a file, its finished run, an export, and evaluation files."""

    recipe: Recipe
    recipe_file: Path
    run: Run
    export: Path
    tasks: Path


@pytest.fixture(scope="session")
def work(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """The tiny recipe, trained, exported and described by commands without a stop."""
    folder = tmp_path_factory.mktemp("faults")
    file = folder / "recipe.toml"
    file.write_text(recipes.to_toml(tiny), encoding="utf-8")
    run, export, tasks = Run(folder / "run"), folder / "export", folder / "tasks"
    write_tasks(tasks, seed=0)
    for words in (["pretrain", file, "--run", run.folder], ["export", run.folder, "--out", export]):
        ended = commands.run(words, folder / "commands")
        assert ended.status == 0, ended.err
    return Work(tiny, file, run, export, tasks)


def addresses(ranks: int) -> list[dict[str, str]]:
    """The environment of each rank, as a launcher sets it; none for a single process."""
    if ranks == 1:
        return [{}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(ranks)}
    return [address | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]
