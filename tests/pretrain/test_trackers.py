import json
from pathlib import Path
from typing import Any

import pytest
import torch

from anaume.batches.loader import Position
from anaume.errors import UserError
from anaume.pretrain.checkpoint import State
from anaume.pretrain.ranks.rank import Ranks
from anaume.pretrain.trackers import Trackers
from anaume.recipe import Recipe
from anaume.run import Run, record_start, run_id

# What every manifest holds.
FACTS: dict[str, Any] = {"data": {}, "environment": {}}
MAIN, OTHER = (Ranks(rank, 2, torch.device("cpu")) for rank in (0, 1))


@pytest.fixture
def begun(tiny: Recipe, tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    record_start(run, tiny, FACTS)
    return run


def _with(tiny: Recipe, tracker: str) -> Recipe:
    return tiny.model_copy(update={"trackers": [tracker]})


def _line(stage: str, step: int, loss: float) -> dict[str, Any]:
    return {"kind": "train", "stage": stage, "step": step, "loss": loss, "source_tokens": (1, 2)}


def test_tensorboard_counts_steps_over_all_stages_and_shows_each_once(tiny: Recipe, begun: Run) -> None:
    """A run killed after step 2 of the second stage resumes from step 1: the first points of step 2 are hidden."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = _with(tiny, "tensorboard")
    with Trackers(recipe, begun, MAIN, None) as trackers:
        trackers.log(_line("first", 2, 3.5))
        trackers.log(_line("first", 2, 3.0) | {"kind": "validation", "set": "general", "bits_per_character": None})
        trackers.log(_line("second", 1, 2.5))
        trackers.log(_line("second", 2, 2.25))
    with Trackers(recipe, begun, MAIN, State("second", 1, 0, Position())) as trackers:
        trackers.log(_line("second", 2, 2.125))
    folder = begun.folder / "tensorboard" / "tiny"
    events = EventAccumulator(str(folder))
    events.Reload()
    assert events.Tags()["scalars"] == ["train/loss", "validation/general/loss"]
    points = [(event.step, event.value) for event in events.Scalars("train/loss")]
    assert points == [(2, 3.5), (7, 2.5), (8, 2.125)]
    (settings,) = folder.glob("*/hparams.yml")
    assert "stage.0.learning_rate: 0.01" in settings.read_text()


def test_a_resumed_run_keeps_its_name_in_wandb(tiny: Recipe, begun: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, each start writes a folder of its own. All end with one name, which makes them one run when uploaded."""
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(begun.folder))
    monkeypatch.setenv("WANDB_SILENT", "true")
    for last in (None, State("first", 2, 0, Position())):
        with Trackers(_with(tiny, "wandb"), begun, MAIN, last) as trackers:
            trackers.log(_line("first", 3, 3.5))
            assert wandb.run.config["stage.1.optimizer"] == "muon"
    names = {folder.name.rpartition("-")[2] for folder in (begun.folder / "wandb").glob("offline-run-*")}
    assert names == {run_id(begun)}


def test_the_identity_of_a_run_is_stable_and_unique(tiny: Recipe, begun: Run, tmp_path: Path) -> None:
    name = run_id(begun)
    record_start(begun, tiny.model_copy(update={"compile": False}), FACTS)
    assert json.loads(begun.manifest_file.read_text())["changes"]
    assert run_id(begun) == name
    other = Run(tmp_path / "other")
    record_start(other, tiny.model_copy(update={"seed": 8}), FACTS)
    assert run_id(other) != name


def test_only_the_main_process_writes(tiny: Recipe, begun: Run) -> None:
    with Trackers(_with(tiny, "tensorboard"), begun, OTHER, None) as trackers:
        trackers.log(_line("first", 2, 3.5))
    assert not (begun.folder / "tensorboard").exists()


def test_a_tracker_that_is_not_installed(tiny: Recipe, begun: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "trackio", None)
    with pytest.raises(UserError, match=r"trackers: trackio is not installed .* expected pip install trackio"):
        Trackers(_with(tiny, "trackio"), begun, MAIN, None)
