"""A prepared recipe of one stage, and a round of all sides in this process."""

import pytest
import torch

from anaume.batches.plan import BatchPlan
from anaume.bench import process
from anaume.bench.recipe import select_recipe
from anaume.bench.rounds import SIDES, BenchJob, Round
from anaume.pretrain.prepare import prepare
from anaume.recipe import Recipe, to_toml
from anaume.run import Run

# Rows per micro-batch of a stock loop.
ROWS = 3
# Stands in for the measured speed of a product, which takes seconds, and minutes in bfloat16 on some CPUs.
PEAKS = {torch.float32: 2e9, torch.bfloat16: 4e9}


@pytest.fixture(scope="session")
def selected(tiny: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """The tiny recipe's second stage, selected as by the command."""
    file = tmp_path_factory.mktemp("recipe") / "recipe.toml"
    file.write_text(to_toml(tiny), encoding="utf-8")
    return select_recipe(file, ["stage.second.optimizer=adamw", "precision=bfloat16"], "", "", "second", 0, 0, 0)


@pytest.fixture(scope="session")
def run(selected: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that all sides read, with its tokens."""
    run = Run(tmp_path_factory.mktemp("data") / "run")
    prepare(selected, run)
    return run


@pytest.fixture(scope="session")
def plan(selected: Recipe, run: Run) -> BatchPlan:
    return prepare(selected, run).plan(selected, selected.stage[0], "train")


@pytest.fixture(scope="session")
def rounds(selected: Recipe, run: Run) -> dict[str, Round]:
    """All sides, with as few steps as possible."""
    jobs = [BenchJob(side, selected.model_dump(), str(run.folder), ROWS, 0, 0, "") for side in SIDES]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "current_peak_flops", lambda _, dtype: PEAKS[dtype])
        return {job.side: process.measure(job) for job in jobs}
