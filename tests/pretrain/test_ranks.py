"""Real processes: two that train together, and those that are asked to stop."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from anaume import recipe as recipes
from anaume.pretrain.loop import pretrain
from anaume.recipe import Recipe
from anaume.run import CheckpointName, Run

LONG = 120
Processes = list[subprocess.Popen[str]]


def _arguments(recipe: Recipe, folder: Path, *options: str) -> list[str]:
    file = folder.with_suffix(".toml")
    file.write_text(recipes.to_toml(recipe), encoding="utf-8")
    return ["anaume", "pretrain", str(file), "--run", str(folder), *options]


def _torchrun(arguments: Sequence[str]) -> list[str]:
    """Two ranks. The two dashes: torchrun takes --run for an abbreviation of an option of its own."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    return [sys.executable, "-m", *launcher, *arguments]


def _environment(ranks: int) -> list[dict[str, str]]:
    """What srun's tasks set for each rank in our script for Slurm."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(ranks)}
    return [os.environ | where | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]


def _start(command: Sequence[str], ranks: int = 1) -> Processes:
    """A process group for each rank, as launchers make them."""
    return [
        subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
        for env in _environment(ranks)
    ]


def _ended(processes: Processes) -> list[str]:
    """What each said before it ended by itself; none outlives a test that fails."""
    try:
        return [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()


def _train_records(run: Run) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in run.metrics_file.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == "train"]


def _same_within_rounding(ours: Run, theirs: Run, rel: float = 1e-4) -> None:
    """Sums over ranks are made in another order, so numbers agree to rounding; the batches agree exactly."""
    for mine, other in zip(_train_records(ours), _train_records(theirs), strict=True):
        for exact in ("stage", "step", "tokens", "source_tokens", "length_tokens", "padding_fraction"):
            assert mine[exact] == other[exact]
        assert mine["loss"] == pytest.approx(other["loss"], rel=rel)
        assert mine["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=10 * rel)


def _positions(run: Run) -> list[dict[str, Any]]:
    return [json.loads((run.checkpoint(name) / "state.json").read_text())["position"] for name in run.checkpoints()]


def test_two_processes_train_as_one_with_twice_the_accumulation(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    subprocess.run(_torchrun(_arguments(tiny, tmp_path / "run")), check=True, capture_output=True)
    run = Run(tmp_path / "run")
    _same_within_rounding(run, straight)
    assert _positions(run) == _positions(straight)
    validations = [
        [line["loss"] for line in map(json.loads, r.metrics_file.read_text().splitlines()) if "accuracy" in line]
        for r in (run, straight)
    ]
    assert validations[0] == pytest.approx(validations[1], rel=1e-4)


def test_accelerate_launches_two_processes_too(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    """`--multi_gpu` is its name for several processes on a machine; without a GPU they are CPU processes."""
    options = "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
    options += f" --main_process_port {_environment(1)[0]['MASTER_PORT']}"
    launcher = ["accelerate.commands.launch", *options.split(), "-m", *_arguments(tiny, tmp_path / "run")]
    subprocess.run([sys.executable, "-m", *launcher], check=True, capture_output=True)
    run = Run(tmp_path / "run")
    assert json.loads(run.manifest_file.read_text())["environment"]["processes"] == 2
    _same_within_rounding(run, straight)


def test_the_main_process_says_where_all_go_on(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    """Begun by one process, gone on by two of which the other one would see no checkpoint at all."""
    shutil.copytree(straight.folder, tmp_path / "run")
    run = Run(tmp_path / "run")
    for name in run.checkpoints()[3:]:
        shutil.rmtree(run.checkpoint(name))
    code = (
        "import os, sys; from anaume import cli; from anaume.pretrain import checkpoint\n"
        "if os.environ['RANK'] == '1': checkpoint.latest = lambda run: None\n"
        "cli.main()"
    )
    processes = _start([sys.executable, "-c", code, *_arguments(tiny, run.folder)[1:]], ranks=2)
    said = _ended(processes)
    assert [process.returncode for process in processes] == [0, 0], said
    _same_within_rounding(run, straight)
    assert _positions(run) == _positions(straight)


@pytest.fixture(scope="module")
def long(tiny: Recipe) -> Recipe:
    """One stage of many steps, small ones, so that two numbers of ranks stay within rounding."""
    changes = {"steps": LONG, "save_every": 10, "validate_every": LONG, "learning_rate": 1e-3}
    return tiny.model_copy(update={"stage": [tiny.stage[0].model_copy(update=changes)]})


@pytest.fixture(scope="module")
def whole(long: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """That stage in one go."""
    return pretrain(long, tmp_path_factory.mktemp("whole") / "run")


def _wait_for(ready: Callable[[], Any], processes: Processes) -> None:
    while not ready() and all(process.poll() is None for process in processes):
        time.sleep(0.02)


def _children(process: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def _ask_to_stop(processes: Processes, run: Run, number: signal.Signals, loaders: int) -> list[str]:
    """Signal each rank's process group, its other processes first, and let a checkpoint pass in between.

    Gives what each said. A worker that died of the signal would be noticed before the rank's own turn.
    """
    _wait_for(lambda: any(run.folder.glob("checkpoints/first/step-0000010")), processes)
    for process in processes:
        assert len(_children(process)) >= loaders  # the workers, and multiprocessing's tracker of resources
        for child in _children(process):
            os.kill(child, number)
    before = len(run.checkpoints())
    _wait_for(lambda: len(run.checkpoints()) > before + 1, processes)
    for process in processes:
        assert process.poll() is None
        os.killpg(process.pid, number)
    return _ended(processes)


def _same_exactly(ours: Run, theirs: Run) -> None:
    timed = {"tokens_per_second", "mfu"}
    lines = [[{k: v for k, v in r.items() if k not in timed} for r in _train_records(run)] for run in (ours, theirs)]
    assert lines[0] == lines[1]
    for file in ("model.safetensors", "optimizer.safetensors"):
        mine, other = (load_file(run.checkpoint(CheckpointName("first", LONG)) / file) for run in (ours, theirs))
        for name in other:
            np.testing.assert_array_equal(mine[name], other[name])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_with_a_checkpoint_and_the_rest_follows_exactly(
    long: Recipe, whole: Run, tmp_path: Path, number: signal.Signals
) -> None:
    """With a worker, in a process group of its own; gone on without one: the same lines, weights and moments."""
    run = Run(tmp_path / "run")
    processes = _start([sys.executable, "-m", *_arguments(long, run.folder, "--loaders", "1")])
    (said,) = _ask_to_stop(processes, run, number, loaders=1)
    assert f"stopped by {number.name} after step {run.checkpoints()[-1].step}" in said
    assert processes[0].returncode == 0
    assert 10 < run.checkpoints()[-1].step < LONG
    _same_exactly(pretrain(long, run.folder), whole)


def test_two_ranks_stop_together_and_one_goes_on(long: Recipe, whole: Run, tmp_path: Path) -> None:
    """As srun starts and signals them. What one rank then reads are the moments and the place of both."""
    run = Run(tmp_path / "run")
    processes = _start([sys.executable, "-m", *_arguments(long, run.folder, "--loaders", "1")], ranks=2)
    said = _ask_to_stop(processes, run, signal.SIGUSR1, loaders=1)
    assert [process.returncode for process in processes] == [0, 0], said
    assert "stopped by SIGUSR1 after step" in said[0]
    assert 10 < run.checkpoints()[-1].step < LONG
    pretrain(long, run.folder)
    _same_within_rounding(run, whole, rel=1e-3)
    moments, expected = (
        load_file(r.checkpoint(CheckpointName("first", LONG)) / "optimizer.safetensors") for r in (run, whole)
    )
    for name, value in expected.items():
        difference = np.linalg.norm(moments[name] - value)
        assert difference <= 1e-2 * np.linalg.norm(value), name


def test_torchrun_hands_sigterm_on_and_the_ranks_save(long: Recipe, tmp_path: Path) -> None:
    """torchrun itself ends with an error, for it was told to die; the run has its checkpoint all the same."""
    run = Run(tmp_path / "run")
    arguments = _arguments(long, run.folder, "--loaders", "1")
    process = subprocess.Popen(_torchrun(arguments), stderr=subprocess.PIPE, text=True)
    _wait_for(lambda: any(run.folder.glob("checkpoints/first/step-0000010")), [process])
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert "stopped by SIGTERM after step" in said
    assert process.returncode != 0
    assert run.checkpoints()[-1].step < LONG


def test_a_rank_that_is_killed_leaves_no_worker_behind(long: Recipe, tmp_path: Path) -> None:
    """Its batches, too large for a pipe's buffer, are never taken."""
    stage = long.stage[0].model_copy(update={"batch_tokens": 16_384, "micro_batch_tokens": 16_384})
    recipe, run = long.model_copy(update={"stage": [stage]}), Run(tmp_path / "run")
    (process,) = _start([sys.executable, "-m", *_arguments(recipe, run.folder, "--loaders", "1")])
    _wait_for(lambda: run.metrics_file.exists() and _train_records(run), [process])
    workers = _children(process)
    assert workers
    process.kill()
    process.wait(timeout=30)
    end = time.monotonic() + 60
    while any(_runs(pid) for pid in workers) and time.monotonic() < end:
        time.sleep(0.1)
    left = [pid for pid in workers if _runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert not left


def _runs(pid: int) -> bool:
    """Whether a process is there and more than an entry that its parent has yet to read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
