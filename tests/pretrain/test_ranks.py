"""Training in child processes: ranks that train together, and processes that receive signals."""

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

pytestmark = pytest.mark.slow

LONG = 120
Processes = list[subprocess.Popen[str]]


def _arguments(recipe: Recipe, folder: Path, *options: str) -> list[str]:
    file = folder.with_suffix(".toml")
    file.write_text(recipes.to_toml(recipe), encoding="utf-8")
    return ["anaume", "pretrain", str(file), "--run", str(folder), *options]


def _torchrun(arguments: Sequence[str]) -> list[str]:
    """A command with two ranks. Without the two dashes torchrun would take --run for one of its own options."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--"]
    return [sys.executable, "-m", *launcher, *arguments]


def _environment(ranks: int) -> list[dict[str, str]]:
    """The environment of each rank, as the Slurm script sets it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(ranks)}
    return [os.environ | address | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]


def _start(command: Sequence[str], ranks: int = 1) -> Processes:
    """Start the ranks, each in a process group of its own, as launchers do."""
    return [
        subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True, start_new_session=True)
        for env in _environment(ranks)
    ]


def _wait_for_end(processes: Processes) -> list[str]:
    """Standard error of each process, after its end. No process outlives a test that fails."""
    try:
        return [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()


def _train_records(run: Run) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in run.metrics_file.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line["kind"] == "train"]


def _same_within_rounding(ours: Run, theirs: Run, rel: float = 1e-4, steps: int | None = None) -> None:
    """Assert equal batches, and numbers equal within rounding, because sums over ranks have another order.

    `steps` limits the comparison to the first records of `theirs`.
    """
    for our, their in zip(_train_records(ours), _train_records(theirs)[:steps], strict=True):
        for exact in ("stage", "step", "tokens", "source_tokens", "length_tokens", "padding_fraction"):
            assert our[exact] == their[exact]
        assert our["loss"] == pytest.approx(their["loss"], rel=rel)
        assert our["gradient_norm"] == pytest.approx(their["gradient_norm"], rel=10 * rel)


def _positions(run: Run) -> list[dict[str, Any]]:
    return [json.loads((run.checkpoint(name) / "state.json").read_text())["position"] for name in run.checkpoints()]


def test_two_ranks_train_as_one_with_twice_the_accumulation(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    """accelerate's `--multi_gpu` means several processes on one machine; without a GPU they run on the CPU."""
    options = "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
    options += f" --main_process_port {_environment(1)[0]['MASTER_PORT']}"
    launcher = ["accelerate.commands.launch", *options.split(), "-m", *_arguments(tiny, tmp_path / "run")]
    subprocess.run([sys.executable, "-m", *launcher], check=True, capture_output=True)
    run = Run(tmp_path / "run")
    assert json.loads(run.manifest_file.read_text())["environment"]["processes"] == 2
    _same_within_rounding(run, straight)
    assert _positions(run) == _positions(straight)
    validations = [
        [line["loss"] for line in map(json.loads, r.metrics_file.read_text().splitlines()) if "accuracy" in line]
        for r in (run, straight)
    ]
    assert validations[0] == pytest.approx(validations[1], rel=1e-4)


def test_two_ranks_train_a_causal_stage_as_one(tiny: Recipe, tmp_path: Path) -> None:
    """The ranks also share the batches of each of two validation sets, causal ones beside the masked ones."""
    table = tiny.model_dump()
    table["stage"] = [table["stage"][0] | {"objective": "causal", "causal_targets": 0.5}]
    (source,) = table["corpus"]["validation"]
    table["corpus"]["validation"] = [source | {"name": "a"}, source | {"name": "b", "skip_documents": 3}]
    recipe = recipes.parse(table, "test")
    alone, run = pretrain(recipe, tmp_path / "alone"), Run(tmp_path / "run")
    processes = _start([sys.executable, "-m", *_arguments(recipe, run.folder)], ranks=2)
    errors = _wait_for_end(processes)
    assert [process.returncode for process in processes] == [0, 0], errors
    _same_within_rounding(run, alone)
    assert {line["objective"] for line in _train_records(run)} == {"causal"}
    ours, theirs = (
        [json.loads(line) for line in r.metrics_file.read_text().splitlines() if '"validation"' in line]
        for r in (run, alone)
    )
    assert [line["set"] for line in ours] == ["a", "b"] * 3
    for key in ("loss", "causal_loss", "bits_per_character"):
        assert [line[key] for line in ours] == pytest.approx([line[key] for line in theirs], rel=1e-4)


def test_all_ranks_resume_where_the_main_process_does(straight: Run, tiny: Recipe, tmp_path: Path) -> None:
    """One process begins the run. Two resume it, and the second sees no checkpoint on its disk."""
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
    errors = _wait_for_end(processes)
    assert [process.returncode for process in processes] == [0, 0], errors
    _same_within_rounding(run, straight)
    assert _positions(run) == _positions(straight)


@pytest.fixture(scope="module")
def long(tiny: Recipe) -> Recipe:
    """One stage of many small steps, so that different numbers of ranks agree within rounding."""
    changes = {"steps": LONG, "save_every": 10, "validate_every": LONG, "learning_rate": 1e-3}
    return tiny.model_copy(update={"stage": [tiny.stage[0].model_copy(update=changes)]})


@pytest.fixture(scope="module")
def whole(long: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run of `long` without a stop."""
    return pretrain(long, tmp_path_factory.mktemp("whole") / "run")


def _wait_for(ready: Callable[[], Any], processes: Processes) -> None:
    while not ready() and all(process.poll() is None for process in processes):
        time.sleep(0.02)


def _children(process: subprocess.Popen[str]) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def _stop_by_signal(processes: Processes, run: Run, number: signal.Signals, loaders: int) -> list[str]:
    """Signal the children of each rank, wait for a checkpoint, signal each process group, and wait for the end.

    Returns the standard error of each rank. A loader that dies of the signal would end the run before the checkpoint.
    """
    _wait_for(lambda: any(run.folder.glob("checkpoints/first/step-0000010")), processes)
    for process in processes:
        assert len(_children(process)) >= loaders  # the loaders, and multiprocessing's resource tracker
        for child in _children(process):
            os.kill(child, number)
    checkpoints = len(run.checkpoints())
    _wait_for(lambda: len(run.checkpoints()) > checkpoints + 1, processes)
    for process in processes:
        assert process.poll() is None
        os.killpg(process.pid, number)
    return _wait_for_end(processes)


def _same_exactly(ours: Run, theirs: Run) -> None:
    timed = {"tokens_per_second", "mfu"}
    lines = [[{k: v for k, v in r.items() if k not in timed} for r in _train_records(run)] for run in (ours, theirs)]
    assert lines[0] == lines[1]
    for file in ("model.safetensors", "optimizer.safetensors"):
        our, their = (load_file(run.checkpoint(CheckpointName("first", LONG)) / file) for run in (ours, theirs))
        for name in their:
            np.testing.assert_array_equal(our[name], their[name])


def test_a_signal_to_a_process_group_ends_with_a_checkpoint_that_resumes_exactly(
    long: Recipe, whole: Run, tmp_path: Path
) -> None:
    """The signalled process has a loader and the resumed one has none; records, weights and moments are equal."""
    run = Run(tmp_path / "run")
    processes = _start([sys.executable, "-m", *_arguments(long, run.folder, "--loaders", "1")])
    (error,) = _stop_by_signal(processes, run, signal.SIGTERM, loaders=1)
    assert f"stopped by SIGTERM after step {run.checkpoints()[-1].step}" in error
    assert processes[0].returncode == 0
    assert 10 < run.checkpoints()[-1].step < LONG
    _same_exactly(pretrain(long, run.folder), whole)


def test_two_ranks_stop_together_and_one_resumes(long: Recipe, whole: Run, tmp_path: Path) -> None:
    """The ranks start and receive the signal as under srun. One rank resumes from the moments and position of both."""
    run = Run(tmp_path / "run")
    processes = _start([sys.executable, "-m", *_arguments(long, run.folder, "--loaders", "1")], ranks=2)
    errors = _stop_by_signal(processes, run, signal.SIGUSR1, loaders=1)
    assert [process.returncode for process in processes] == [0, 0], errors
    assert "stopped by SIGUSR1 after step" in errors[0]
    assert 10 < run.checkpoints()[-1].step < LONG
    pretrain(long, run.folder)
    _same_within_rounding(run, whole, rel=1e-3)
    moments, expected = (
        load_file(r.checkpoint(CheckpointName("first", LONG)) / "optimizer.safetensors") for r in (run, whole)
    )
    for name, value in expected.items():
        difference = np.linalg.norm(moments[name] - value)
        assert difference <= 1e-2 * np.linalg.norm(value), name


def test_torchrun_starts_two_ranks_and_forwards_sigterm(long: Recipe, whole: Run, tmp_path: Path) -> None:
    """The ranks train as one process and save; torchrun itself ends with an error after SIGTERM."""
    run = Run(tmp_path / "run")
    arguments = _arguments(long, run.folder, "--loaders", "1")
    process = subprocess.Popen(_torchrun(arguments), stderr=subprocess.PIPE, text=True)
    _wait_for(lambda: any(run.folder.glob("checkpoints/first/step-0000010")), [process])
    process.terminate()
    _, error = process.communicate(timeout=120)
    assert "stopped by SIGTERM after step" in error
    assert process.returncode != 0
    step = run.checkpoints()[-1].step
    assert 10 <= step < LONG
    _same_within_rounding(run, whole, rel=1e-3, steps=step)


def test_a_killed_rank_leaves_no_loader_running(long: Recipe, tmp_path: Path) -> None:
    """The batches of the loader exceed the buffer of a pipe, and nobody reads them after the kill."""
    stage = long.stage[0].model_copy(update={"batch_tokens": 16_384, "micro_batch_tokens": 16_384})
    recipe, run = long.model_copy(update={"stage": [stage]}), Run(tmp_path / "run")
    (process,) = _start([sys.executable, "-m", *_arguments(recipe, run.folder, "--loaders", "1")])
    _wait_for(lambda: run.metrics_file.exists() and _train_records(run), [process])
    children = _children(process)
    assert children
    process.kill()
    process.wait(timeout=30)
    end = time.monotonic() + 60
    while any(_runs(pid) for pid in children) and time.monotonic() < end:
        time.sleep(0.1)
    left = [pid for pid in children if _runs(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert not left


def _runs(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
