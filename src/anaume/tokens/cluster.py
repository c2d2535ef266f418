"""Shard tasks → shards on many machines, through datatrove: a Slurm array job, or Ray.

Every machine must see the corpus and the output folder. A task is finished when its shard is whole; datatrove's
completion marks only move the progress bar. The logs of each launch are in OUT/logs/<time>.
"""

import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from anaume.errors import UserError, line_of
from anaume.files import write_atomic
from anaume.progress import tokens_bar
from anaume.tokenizer.load import Tokenizer, encode_on_one_core, load_tokenizer
from anaume.tokens.job import TokenJob, finish
from anaume.tokens.shard import make_shard
from anaume.tokens.store import HEADER, read_header

try:
    import loguru
    from datatrove.executor import RayPipelineExecutor, SlurmPipelineExecutor
    from datatrove.pipeline.base import PipelineStep
except ImportError as error:
    raise UserError(f"a cluster needs datatrove ({error}); pip install 'anaume[cluster]'") from error

# Options of sbatch, unless the user gives others.
_SLURM_DEFAULTS = {"time": "24:00:00", "mem-per-cpu": "2G", "cpus-per-task": "1"}

_RAY_TASK_GIGABYTES = 2


class MakeShard(PipelineStep):  # type: ignore[misc]
    """Make the shard of task `rank` of `job.todo`. An error is also written to a file, which the launcher shows."""

    type, name = "anaume", "tokens"

    def __init__(self, job: TokenJob, tokenizer: Path, logs: Path) -> None:
        super().__init__()
        self.job = job
        self.tokenizer = tokenizer
        self.logs = logs
        self.working_directory = Path.cwd()  # paths of the job may be relative to it

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:  # noqa: ARG002
        os.chdir(self.working_directory)
        encode_on_one_core()
        try:
            make_shard(self.job.todo[rank], load_tokenizer(self.tokenizer), lambda *_: None)
        except (UserError, OSError) as error:
            with suppress(OSError):  # the disk of the logs may be full, too
                write_atomic(self.logs / "mistakes" / f"{rank:05}", line_of(error))
            raise
        return data


class FinishJob(PipelineStep):  # type: ignore[misc]
    """Write the stores' headers and the summary, or raise a UserError if a shard is missing."""

    type, name = "anaume", "summary"

    def __init__(self, job: TokenJob, logs: Path) -> None:
        super().__init__()
        self.job = job
        self.logs = logs
        self.working_directory = Path.cwd()

    def run(self, data: Any = None, rank: int = 0, world_size: int = 1) -> Any:  # noqa: ARG002
        os.chdir(self.working_directory)
        _require_shards(self.job, self.logs)
        finish(self.job)
        return data


def run_on_ray(job: TokenJob, tokenizer: Tokenizer, workers: int) -> None:
    """Make the shard of every task in `job.todo` on Ray, `workers` at a time, and show a progress bar.

    Ray runs on the cluster that the environment variable RAY_ADDRESS names, or else on this machine.

    Raises:
        UserError: Ray is missing, or a part can't be read; the shards that are finished stay.
    """
    try:
        import ray
    except ImportError as error:
        raise UserError(f"--executor ray needs Ray ({error}); pip install 'anaume[cluster]'") from error
    loguru.logger.remove()
    ray.init(log_to_driver=False, logging_level=logging.ERROR, ignore_reinit_error=True)
    logs = _new_log_folder(job)
    executor = RayPipelineExecutor(
        pipeline=[MakeShard(job, tokenizer.folder.resolve(), logs)],
        tasks=len(job.todo),
        workers=workers,
        logging_dir=str(logs),
        skip_completed=False,
        mem_per_cpu_gb=_RAY_TASK_GIGABYTES,
    )
    try:
        with ThreadPoolExecutor(1) as thread:
            running = thread.submit(executor.run)
            _show_progress(job, logs, running)
            running.result()
    finally:
        ray.shutdown()
    _require_shards(job, logs)


def _show_progress(job: TokenJob, logs: Path, running: Future[Any]) -> None:
    """Show a progress bar of finished parts until the executor ends."""
    tokens: dict[int, int] = {}  # rank of a finished task → its tokens
    with tokens_bar(sum(task.part.bytes for task in job.todo)) as show:
        ended = False
        while not ended:
            ended = bool(wait([running], timeout=0.5).done)
            for rank in {int(mark.name) for mark in (logs / "completions").glob("*")} - tokens.keys():
                tokens[rank] = read_header(job.todo[rank].folder).tokens
            show(sum(job.todo[rank].part.bytes for rank in tokens), sum(tokens.values()))


def submit_to_slurm(job: TokenJob, tokenizer: Tokenizer, workers: int, options: Sequence[str]) -> str:
    """Submit an array job that makes the shards of `job.todo`, `workers` at a time, and a job that finishes the build.

    `options` are options of sbatch in the form KEY=VALUE. Returns the number of the second job.

    Raises:
        UserError: an option is malformed, the partition is missing, or sbatch is absent or refuses.
    """
    sbatch = _sbatch_options(options)
    logs = _new_log_folder(job)
    loguru.logger.remove()
    common_options = {
        "partition": sbatch.pop("partition"),
        "time": sbatch.pop("time"),
        "sbatch_args": sbatch,
        "qos": None,
        "skip_completed": False,
        "env_command": f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
    }
    array = _SlurmExecutor(
        pipeline=[MakeShard(job, tokenizer.folder.resolve(), logs)],
        tasks=len(job.todo),
        workers=workers,
        job_name="anaume-tokens",
        logging_dir=str(logs),
        **common_options,
    )
    last = _SlurmExecutor(
        pipeline=[FinishJob(job, logs)],
        tasks=1,
        job_name="anaume-tokens-summary",
        logging_dir=str(logs / "summary"),
        depends=array,
        run_on_dependency_fail=True,  # so that it reports what failed
        **common_options,
    )
    try:
        last.run()
    except FileNotFoundError as error:
        raise UserError("--executor slurm: no sbatch here; expected a machine from which jobs are submitted") from error
    except subprocess.CalledProcessError as error:
        raise UserError(
            f"--executor slurm: sbatch refused the job (status {error.returncode}, its message is above)"
        ) from error
    return str(last.job_id)


class _SlurmExecutor(SlurmPipelineExecutor):  # type: ignore[misc]
    def launch_merge_stats(self) -> None:
        """Submit no job for datatrove's statistics, since summary.json has the numbers."""


def _sbatch_options(options: Sequence[str]) -> dict[str, str]:
    values = dict(_SLURM_DEFAULTS)
    for option in options:
        key, equals, value = option.partition("=")
        if not (key and equals and value):
            raise UserError(f"--slurm {option}: not KEY=VALUE; expected an option of sbatch, such as partition=cpu")
        values[key] = value
    if "partition" not in values:
        raise UserError("--executor slurm: no partition; expected --slurm partition=NAME (`sinfo` lists the names)")
    return values


def _new_log_folder(job: TokenJob) -> Path:
    """A new folder for each launch, because queued jobs of an earlier launch still use their own."""
    return job.out.resolve() / "logs" / datetime.now().strftime("%Y-%m-%d_%H-%M-%S.%f")


def _require_shards(job: TokenJob, logs: Path) -> None:
    """Check that every task has made its shard.

    Raises:
        UserError: a shard is missing; the message is the first recorded error, or names the log to read.
    """
    errors = sorted((logs / "mistakes").glob("*"))
    if errors:
        raise UserError(errors[0].read_text("utf-8"))
    missing = [rank for rank, task in enumerate(job.todo) if not (task.folder / HEADER).exists()]
    if missing:
        raise UserError(
            f"{job.out}: {len(missing):,} of {len(job.todo):,} parts were not made; "
            f"see {logs / 'logs' / f'task_{missing[0]:05}.log'}, and run the same command again"
        )
