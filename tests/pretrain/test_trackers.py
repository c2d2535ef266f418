from pathlib import Path

import pytest
import torch

from anaume.errors import UserError
from anaume.pretrain.ranks import Ranks
from anaume.pretrain.trackers import Trackers
from anaume.recipe import Recipe
from anaume.run import Run

MAIN, OTHER = (Ranks(rank, 2, torch.device("cpu")) for rank in (0, 1))


def test_tensorboard_gets_every_line_under_one_count_of_steps(tiny: Recipe, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    recipe = tiny.model_copy(update={"trackers": ["tensorboard"]})
    with Trackers(recipe, Run(tmp_path), MAIN) as trackers:
        trackers.log({"kind": "train", "stage": "first", "step": 2, "loss": 3.5, "source_tokens": (1, 2)})
        trackers.log({"kind": "train", "stage": "second", "step": 1, "loss": 2.5, "source_tokens": (1, 2)})
    events = EventAccumulator(str(tmp_path / "tensorboard" / "tiny"))
    events.Reload()
    assert events.Tags()["scalars"] == ["train/loss"]
    assert [(event.step, event.value) for event in events.Scalars("train/loss")] == [(2, 3.5), (7, 2.5)]


def test_only_the_main_process_writes(tiny: Recipe, tmp_path: Path) -> None:
    with Trackers(tiny.model_copy(update={"trackers": ["tensorboard"]}), Run(tmp_path), OTHER) as trackers:
        trackers.log({"kind": "train", "stage": "first", "step": 2, "loss": 3.5})
    assert list(tmp_path.iterdir()) == []


def test_a_tracker_that_is_not_installed(tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "trackio", None)
    with pytest.raises(UserError, match=r"trackers: trackio is not installed .* accepted: pip install trackio"):
        Trackers(tiny.model_copy(update={"trackers": ["trackio"]}), Run(tmp_path), MAIN)
