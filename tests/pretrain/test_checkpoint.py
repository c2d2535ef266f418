"""What stays on the disk: pruning, and a disk that is full."""

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from anaume.errors import UserError
from anaume.pretrain import checkpoint
from anaume.pretrain.loop import pretrain
from anaume.recipe import Recipe
from anaume.run import Run


def _steps(run: Run) -> list[tuple[str, int]]:
    return [(name.stage, name.step) for name in run.checkpoints()]


def test_old_checkpoints_go_by_the_rule(tiny: Recipe, tmp_path: Path) -> None:
    """Every fourth step, the first, each stage's last and the run's two newest stay."""
    rule = {"save_every": 1, "keep_every": 4, "keep_last": 2, "steps": 6}
    stages = [stage.model_copy(update=rule) for stage in tiny.stage]
    run = pretrain(tiny.model_copy(update={"stage": stages}), tmp_path / "run")
    assert _steps(run) == [*(("first", s) for s in (0, 4, 6)), *(("second", s) for s in (4, 5, 6))]


def test_a_full_disk_leaves_the_last_checkpoint_whole(
    straight: Run, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(100))

    def full(tensors: Any, file: Path) -> None:
        if next(calls) < 5:  # two whole checkpoints and half of the third
            save_file(tensors, file)
            return
        file.write_bytes(b"half")
        raise SafetensorError(f"I/O error: No space left on device (os error {errno.ENOSPC})")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match=r"no space left on the disk; the last whole checkpoint is first-step-0000002"):
        pretrain(tiny, tmp_path / "run")
    monkeypatch.undo()
    run = Run(tmp_path / "run")
    assert _steps(run) == [("first", 0), ("first", 2)]
    assert [path.name for path in (run.folder / "checkpoints" / "first").iterdir() if path.name[0] == "."] == []
    pretrain(tiny, run.folder)
    assert _steps(run) == _steps(straight)
    for name in run.checkpoints():
        weights = [load_file(r.checkpoint(name) / "model.safetensors") for r in (run, straight)]
        assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[1])


def test_what_another_error_says_is_not_hidden(tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise SafetensorError("something else")

    monkeypatch.setattr(checkpoint, "save_file", broken)
    with pytest.raises(SafetensorError, match="something else"):
        pretrain(tiny, tmp_path / "run")
    shutil.rmtree(tmp_path / "run")
