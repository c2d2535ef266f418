"""Checkpoints on disk: pruning, a full disk, and checkpoints that are damaged or can't be read."""

import errno
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tests.support.kills import killed_after

from anaume.checkpoints import STATE, damage, read_state
from anaume.errors import UserError
from anaume.pretrain import checkpoint
from anaume.pretrain.loop import pretrain
from anaume.recipe import Recipe
from anaume.run import CheckpointName, Run


def _steps(run: Run) -> list[tuple[str, int]]:
    return [(name.stage, name.step) for name in run.checkpoints()]


@pytest.mark.slow
def test_old_checkpoints_are_pruned_by_the_rules(tiny: Recipe, tmp_path: Path) -> None:
    """Kept: step 0, every fourth step, the listed steps, the last step of each stage, and the two newest of the run."""
    rule = {"save_every": 2, "keep_every": 4, "keep_steps": [1], "keep_last": 2, "steps": 6}
    stages = [stage.model_copy(update=rule) for stage in tiny.stage]
    run = pretrain(tiny.model_copy(update={"stage": stages}), tmp_path / "run")
    assert _steps(run) == [*(("first", s) for s in (0, 1, 4, 6)), *(("second", s) for s in (1, 4, 6))]


@pytest.mark.slow
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT], ids=["disk", "quota"])
def test_a_full_disk_leaves_the_last_checkpoint_complete(
    straight: Run, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    calls = iter(range(100))

    def full(tensors: Any, file: Path) -> None:
        if next(calls) < 5:  # two complete checkpoints and half of the third
            save_file(tensors, file)
            return
        file.write_bytes(b"half")
        raise SafetensorError(f"I/O error: {os.strerror(number)} (os error {number})")

    monkeypatch.setattr(checkpoint, "save_file", full)
    message = (
        rf"no space left on the disk \({os.strerror(number)}\); the last complete checkpoint is first-step-0000002"
    )
    with pytest.raises(UserError, match=message):
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


def test_other_errors_while_saving_are_raised(tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise SafetensorError("something else")

    monkeypatch.setattr(checkpoint, "save_file", broken)
    with pytest.raises(SafetensorError, match="something else"):
        pretrain(tiny, tmp_path / "run")
    shutil.rmtree(tmp_path / "run")


def _damage(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)


def _copy(straight: Run, tmp_path: Path) -> Run:
    shutil.copytree(straight.folder, tmp_path / "copy")
    return Run(tmp_path / "copy")


def test_an_unreadable_checkpoint_is_not_taken_for_damaged(
    straight: Run, tiny: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that can't be read ends the run with one line, before anything is changed."""
    run = _copy(straight, tmp_path)
    before = run.metrics_file.read_bytes()
    for place, function, name, number in (
        (io, "open", "model.safetensors", errno.EIO),
        (io, "open", "state.json", errno.ESTALE),
        (Path, "iterdir", "second", errno.EACCES),
    ):
        original = getattr(place, function)

        def fail(path: Any, *arguments: Any, original: Any = original, name: str = name, number: int = number) -> Any:
            if Path(path).name == name:
                raise OSError(number, os.strerror(number), str(path))
            return original(path, *arguments)

        monkeypatch.setattr(place, function, fail)
        with pytest.raises(UserError, match=rf": cannot read it \({os.strerror(number)}\)"):
            pretrain(tiny, run.folder)
        monkeypatch.undo()
        assert run.metrics_file.read_bytes() == before
        assert _steps(run) == _steps(straight)


@pytest.mark.slow
def test_a_run_of_damaged_checkpoints_is_not_begun_again_by_itself(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    run = _copy(straight, tmp_path)
    before = run.metrics_file.read_bytes()
    names = run.checkpoints()[1:]
    for name in names:
        _damage(run.checkpoint(name))
    with pytest.raises(UserError, match=rf"all checkpoints are damaged \({names[-1].model}, .*{names[0].model}\)"):
        pretrain(tiny, run.folder)
    assert run.metrics_file.read_bytes() == before
    shutil.move(run.folder / "checkpoints", tmp_path / "away")
    pretrain(tiny, run.folder)
    assert _steps(run) == _steps(straight)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"sha256": {}}', None])
def test_a_checkpoint_with_an_invalid_state_is_damaged(straight: Run, tmp_path: Path, content: str | None) -> None:
    run = _copy(straight, tmp_path)
    file = run.checkpoint(CheckpointName("second", 4)) / "state.json"
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    state = checkpoint.latest(run)
    assert state
    assert (state.stage, state.step) == ("second", 2)


@pytest.mark.slow
@pytest.mark.parametrize(("keep_last", "kept"), [(1, [0, 6]), (2, [0, 4, 6])])
def test_damaged_checkpoints_are_not_counted(tiny: Recipe, tmp_path: Path, keep_last: int, kept: list[int]) -> None:
    """The run resumes from step 4, because steps 10 and 11 are damaged, and dies after the next checkpoint."""

    def one_stage(**changes: int) -> Recipe:
        stage = tiny.stage[0].model_copy(update={"steps": 12, **changes})
        return tiny.model_copy(update={"stage": [stage]})

    run = pretrain(one_stage(save_every=1), tmp_path / "run")
    for name in run.checkpoints():
        if name.step in (10, 11):
            _damage(run.checkpoint(name))
        elif name.step not in (0, 4):
            shutil.rmtree(run.checkpoint(name))
    with killed_after(3):
        pretrain(one_stage(save_every=2, keep_every=100, keep_last=keep_last), run.folder)
    assert [name.step for name in run.checkpoints()] == kept
    assert all(not damage(run.checkpoint(name)) for name in run.checkpoints())
    renamed = sorted(path.name for path in run.checkpoint(run.checkpoints()[0]).parent.glob("damaged-*"))
    assert renamed == ["damaged-step-0000010", "damaged-step-0000011"]


@pytest.mark.parametrize(
    ("before", "after"),
    [('"row": ', '"row": 1'), ('"step": 4', '"step": 5'), ('"checksum"', '"chfcksum"'), ('"tokens": ', '"tokens": "')],
)
def test_a_changed_state_is_damage(straight: Run, tmp_path: Path, before: str, after: str) -> None:
    folder = tmp_path / "step-0000004"
    shutil.copytree(straight.checkpoint(CheckpointName("first", 4)), folder)
    assert damage(folder) == ""
    text = (folder / STATE).read_text(encoding="utf-8")
    assert before in text
    (folder / STATE).write_text(text.replace(before, after, 1), encoding="utf-8")
    assert str(folder / STATE) in damage(folder)
    with pytest.raises(UserError, match=r"expected an undamaged checkpoint"):
        read_state(folder)


def test_a_state_of_an_earlier_version_has_no_checksum(straight: Run, tmp_path: Path) -> None:
    folder = tmp_path / "step-0000004"
    shutil.copytree(straight.checkpoint(CheckpointName("first", 4)), folder)
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    del state["checksum"]
    (folder / STATE).write_text(json.dumps(state), encoding="utf-8")
    assert damage(folder) == ""
