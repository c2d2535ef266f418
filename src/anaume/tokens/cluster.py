"""The tasks of a job on many machines, through datatrove: an array job of Slurm's, or Ray.

The same `shard.make` as on one machine; the folder and the corpus must be where every machine sees them. What is
finished is told by our shards, not by datatrove's marks; its logs of each launch are in OUT/logs/<time>.
"""

import logging
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

from anaume.errors import UserError
from anaume.files import write_atomic
from anaume.progress import tokens_bar
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokens.job import Job, finish
from anaume.tokens.shard import make
from anaume.tokens.store import HEADER, read_header

try:
    import loguru
    from datatrove.executor import RayPipelineExecutor, SlurmPipelineExecutor
    from datatrove.pipeline.base import PipelineStep
except ImportError as error:
    raise UserError(f"a cluster needs datatrove ({error}); pip install 'anaume[cluster]'") from error

_SLURM = {"time": "24:00:00", "mem-per-cpu": "2G", "cpus-per-task": "1"}

_GIGABYTES = 2  # memory of a Ray task


class MakeShard(PipelineStep):  # type: ignore[misc]
    """Make the shard of task `rank`. A user's mistake is noted in a file, for whoever shows it."""

    type, name = "anaume", "tokens"

    def __init__(self, job: Job, tokenizer: Path, logs: Path) -> None:
        super().__init__()
        self.job = job
        self.tokenizer = tokenizer
        self.logs = logs
        self.folder = Path.cwd()  # paths may be relative to it

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:  # noqa: ARG002
        os.chdir(self.folder)
        try:
            make(self.job.todo[rank], load_tokenizer(self.tokenizer), lambda *_: None)
        except UserError as mistake:
            write_atomic(self.logs / "mistakes" / f"{rank:05}", str(mistake))
            raise
        return data


class Finish(PipelineStep):  # type: ignore[misc]
    """Write headers and summary, or tell what is missing."""

    type, name = "anaume", "summary"

    def __init__(self, job: Job, logs: Path) -> None:
        super().__init__()
        self.job = job
        self.logs = logs
        self.folder = Path.cwd()

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:  # noqa: ARG002
        os.chdir(self.folder)
        _check(self.job, self.logs)
        finish(self.job)
        return data


def run_on_ray(job: Job, tokenizer: Tokenizer, workers: int) -> None:
    """Make every shard that isn't there yet as tasks of Ray's, `workers` at a time; on the cluster RAY_ADDRESS if set.

    Raises:
        UserError: Ray is missing, or a part can't be read; those that are finished stay.
    """
    try:
        import ray
    except ImportError as error:
        raise UserError(f"--executor ray needs Ray ({error}); pip install 'anaume[cluster]'") from error
    loguru.logger.remove()
    ray.init(log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
    logs = _logs(job)
    executor = RayPipelineExecutor(
        pipeline=[MakeShard(job, tokenizer.folder.resolve(), logs)],
        tasks=len(job.todo),
        workers=workers,
        logging_dir=str(logs),
        skip_completed=False,
        mem_per_cpu_gb=_GIGABYTES,
    )
    try:
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(executor.run)
            _show_finished(job, logs, running)
            running.result()
    finally:
        ray.shutdown()
    _check(job, logs)


def _show_finished(job: Job, logs: Path, running: Future[Any]) -> None:
    """A progress bar of whole parts, until the executor is through."""
    tokens: dict[int, int] = {}
    with tokens_bar(sum(task.part.bytes for task in job.todo)) as show:
        while not running.done():
            time.sleep(0.5)
            for rank in {int(mark.name) for mark in (logs / "completions").glob("*")} - tokens.keys():
                tokens[rank] = read_header(job.todo[rank].folder).tokens
            show(sum(job.todo[rank].part.bytes for rank in tokens), sum(tokens.values()))


def submit_to_slurm(job: Job, tokenizer: Tokenizer, workers: int, options: Sequence[str]) -> str:
    """Submit an array job of the tasks, `workers` at a time, and a last one that finishes; give its number.

    `options` are sbatch's own, KEY=VALUE.

    Raises:
        UserError: no partition is given, or sbatch isn't there or refuses.
    """
    sbatch = _sbatch_options(options)
    logs = _logs(job)
    loguru.logger.remove()
    shared = {
        "partition": sbatch.pop("partition"),
        "time": sbatch.pop("time"),
        "sbatch_args": sbatch,
        "qos": None,
        "skip_completed": False,
        "env_command": f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
    }
    array = _Slurm(
        pipeline=[MakeShard(job, tokenizer.folder.resolve(), logs)],
        tasks=len(job.todo),
        workers=workers,
        job_name="anaume-tokens",
        logging_dir=str(logs),
        **shared,
    )
    last = _Slurm(
        pipeline=[Finish(job, logs)],
        tasks=1,
        job_name="anaume-tokens-summary",
        logging_dir=str(logs / "summary"),
        depends=array,
        run_on_dependency_fail=True,  # then it tells what failed
        **shared,
    )
    try:
        last.run()
    except FileNotFoundError as error:
        raise UserError("--executor slurm: no sbatch here; run it where jobs are submitted") from error
    except subprocess.CalledProcessError as error:
        raise UserError(f"sbatch refused the job (status {error.returncode}, its message is above)") from error
    return str(last.job_id)


class _Slurm(SlurmPipelineExecutor):  # type: ignore[misc]
    def launch_merge_stats(self) -> None:
        """No third job: our summary has the numbers."""


def _sbatch_options(options: Sequence[str]) -> dict[str, str]:
    given = dict(_SLURM)
    for option in options:
        key, equals, value = option.partition("=")
        if not (key and equals and value):
            raise UserError(f"--slurm {option}: accepted: KEY=VALUE, an option of sbatch's, as partition=cpu")
        given[key] = value
    if "partition" not in given:
        raise UserError("--executor slurm: --slurm partition=NAME is missing (`sinfo` lists the names)")
    return given


def _logs(job: Job) -> Path:
    """A folder for each launch: jobs of an earlier one may still wait for what is in theirs."""
    return job.out.resolve() / "logs" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S.%f")


def _check(job: Job, logs: Path) -> None:
    """Refuse to go on where a task has not made its shard.

    Raises:
        UserError: the first mistake that was noted, or where to look.
    """
    mistakes = sorted((logs / "mistakes").glob("*"))
    if mistakes:
        raise UserError(mistakes[0].read_text("utf-8"))
    missing = [rank for rank, task in enumerate(job.todo) if not (task.folder / HEADER).exists()]
    if missing:
        raise UserError(
            f"{job.out}: {len(missing):,} of {len(job.todo):,} parts were not made; "
            f"see {logs / 'logs' / f'task_{missing[0]:05}.log'}, and run the same command again"
        )
