"""Real processes: two that train together, and one that is asked to stop."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from anaume import recipe as recipes
from anaume.recipe import Recipe
from anaume.run import CheckpointName, Run


def _command(recipe: Recipe, folder: Path, ranks: int = 1) -> list[str]:
    file = folder.with_suffix(".toml")
    file.write_text(recipes.to_toml(recipe), encoding="utf-8")
    anaume = ["anaume", "pretrain", str(file), "--run", str(folder)]
    if ranks == 1:
        return [sys.executable, "-m", *anaume]
    # The two dashes: torchrun takes --run for an abbreviation of an option of its own.
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks), "-m", "--"]
    return [sys.executable, "-m", *launcher, *anaume]


def _train_records(run: Run) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in run.metrics_file.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == "train"]


def _same_within_rounding(ours: Run, theirs: Run) -> None:
    """Sums over ranks are made in another order, so numbers agree to rounding; the batches agree exactly."""
    for mine, other in zip(_train_records(ours), _train_records(theirs), strict=True):
        for exact in ("stage", "step", "tokens", "source_tokens", "length_tokens", "padding_fraction"):
            assert mine[exact] == other[exact]
        assert mine["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert mine["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-3)
    positions = [
        [json.loads((run.checkpoint(name) / "state.json").read_text())["position"] for name in run.checkpoints()]
        for run in (ours, theirs)
    ]
    assert positions[0] == positions[1]


def test_two_processes_train_as_one_with_twice_the_accumulation(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    subprocess.run(_command(tiny, tmp_path / "run", ranks=2), check=True, capture_output=True)
    run = Run(tmp_path / "run")
    _same_within_rounding(run, straight)
    validations = [
        [line["loss"] for line in map(json.loads, r.metrics_file.read_text().splitlines()) if "accuracy" in line]
        for r in (run, straight)
    ]
    assert validations[0] == pytest.approx(validations[1], rel=1e-4)


def _ask_to_stop(command: list[str], run: Run, number: int) -> int:
    """Send the signal once the first checkpoint after step 0 is there; gives the exit status."""
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not any(run.folder.glob("checkpoints/first/step-0000002")):
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    assert f"stopped by {signal.Signals(number).name} after step" in said
    return process.returncode


def test_a_signal_ends_with_a_checkpoint_and_the_rest_follows_exactly(tiny: Recipe, tmp_path: Path) -> None:
    """Stopped twice, and compared with a run of one go: the same lines and, at its last step, the same weights."""
    stage = tiny.stage[0].model_copy(update={"steps": 60, "save_every": 2, "validate_every": 60})
    long = tiny.model_copy(update={"stage": [stage]})
    command, run = _command(long, tmp_path / "run"), Run(tmp_path / "run")
    assert _ask_to_stop(command, run, signal.SIGUSR1) == 0
    stopped = run.checkpoints()[-1].step
    assert 2 <= stopped < 60
    subprocess.run(command, check=True, capture_output=True)
    whole = Run(tmp_path / "whole")
    subprocess.run(_command(long, whole.folder), check=True, capture_output=True)
    timed = {"tokens_per_second", "mfu"}
    ours, theirs = ([{k: v for k, v in r.items() if k not in timed} for r in _train_records(x)] for x in (run, whole))
    assert ours == theirs
    last = CheckpointName("first", 60)
    weights, expected = (load_file(r.checkpoint(last) / "model.safetensors") for r in (run, whole))
    for name in expected:
        np.testing.assert_array_equal(weights[name], expected[name])
