"""A small task, and a grid that has been trained on it."""

from pathlib import Path

import pytest

from anaume.evals.jglue import processes
from anaume.evals.jglue.grid import Grid, evaluate, prepare
from anaume.evals.record import save_record

from ...support.models import write_jglue

# Two trials on nine tenths of JCoLA, and two on all of it.
SMALL = Grid(tasks=("jcola",), learning_rates=(1e-3, 4e-3), epochs=(1,), seeds=2)


@pytest.fixture(scope="session", autouse=True)
def _short_forecast() -> None:
    """One step is timed instead of six."""
    patch = pytest.MonkeyPatch()
    patch.setattr(processes, "WARM_UP", 1)
    patch.setattr(processes, "TIMED", 1)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JCoLA with 24 rows in each split. Tests read it, none writes to it."""
    folder = write_jglue(tmp_path_factory.mktemp("small") / "jglue")
    for path in (folder / "jcola-v1.0").iterdir():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(lines[:24]), encoding="utf-8")
    return folder


def fine_tune(model: Path, data: Path, out: Path, grid: Grid) -> list[Path]:
    """Run a grid with one model; the paths of its records."""
    return [save_record(evaluate(each, grid, out), out) for each in prepare([str(model)], data, out, grid)[0]]


@pytest.fixture(scope="session")
def finished(modernbert_folder: Path, small: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The records and trials of `SMALL`. Tests read them, none writes to them."""
    out = tmp_path_factory.mktemp("finished") / "out"
    fine_tune(modernbert_folder, small, out, SMALL)
    return out
