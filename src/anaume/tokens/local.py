"""Shard tasks → shards on this machine, in this process or in several worker processes.

datatrove's local executor isn't used: its progress counts whole parts only, it shows a user's mistake as a traceback,
and it loads the tokenizer again for each part.
"""

import multiprocessing
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any

from anaume.errors import UserError, line_of
from anaume.processes import end_with_parent
from anaume.progress import tokens_bar
from anaume.tokenizer.load import Tokenizer, encode_on_one_core
from anaume.tokens.job import TokenJob
from anaume.tokens.shard import ShardTask, make_shard


def run(job: TokenJob, tokenizer: Tokenizer, workers: int) -> None:
    """Make the shard of every task in `job.todo`, with at most `workers` processes, and show a progress bar.

    Raises:
        UserError: a part can't be read, or a worker was killed; the shards that are finished stay.
    """
    total_bytes = sum(task.part.bytes for task in job.todo)
    if min(workers, len(job.todo)) > 1:
        _run_in_processes(job.todo, tokenizer, min(workers, len(job.todo)), total_bytes)
        return
    with tokens_bar(total_bytes) as show:
        bytes_read = tokens_made = 0

        def add_progress(more_bytes: int, more_tokens: int) -> None:
            nonlocal bytes_read, tokens_made
            bytes_read += more_bytes
            tokens_made += more_tokens
            show(bytes_read, tokens_made)

        for task in job.todo:
            make_shard(task, tokenizer, add_progress)


def _run_in_processes(tasks: Sequence[ShardTask], tokenizer: Tokenizer, workers: int, total_bytes: int) -> None:
    # A fork shares the loaded tokenizer, but a process with threads must not fork.
    may_fork = sys.platform == "linux" and threading.active_count() == 1
    context: Any = multiprocessing.get_context("fork" if may_fork else "spawn")
    next_task, bytes_read, tokens_made = (context.Value("q", 0) for _ in range(3))
    errors = context.SimpleQueue()
    arguments = (tasks, tokenizer, next_task, bytes_read, tokens_made, errors)
    processes = [context.Process(target=_make_shards, args=arguments, daemon=True) for _ in range(workers)]
    try:
        for process in processes:
            process.start()
        with tokens_bar(total_bytes) as show:
            while running := [process.sentinel for process in processes if process.exitcode is None]:
                wait(running, timeout=0.2)
                if any(process.exitcode for process in processes):
                    break
                show(bytes_read.value, tokens_made.value)
    finally:
        for process in processes:
            process.terminate()  # has no effect on a process that has ended; a shard is whole or absent
            process.join()
    if not errors.empty():
        raise UserError(errors.get())
    failed = [process.exitcode for process in processes if process.exitcode]
    if failed:
        reason = "killed, usually because memory ran out" if failed[0] == -signal.SIGKILL else "see its message above"
        raise UserError(
            f"a worker ended with status {failed[0]} ({reason}); finished parts stay: run the same command again"
        )


def _make_shards(
    tasks: Sequence[ShardTask], tokenizer: Tokenizer, next_task: Any, bytes_read: Any, tokens_made: Any, errors: Any
) -> None:
    """Body of a worker process: take the next task and make its shard, until no task is left.

    `next_task`, `bytes_read` and `tokens_made` are counters that the workers share.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles it and ends the workers
    end_with_parent()
    encode_on_one_core()

    def add_progress(more_bytes: int, more_tokens: int) -> None:
        _fetch_and_add(bytes_read, more_bytes)
        _fetch_and_add(tokens_made, more_tokens)

    try:
        while (index := _fetch_and_add(next_task, 1)) < len(tasks):
            make_shard(tasks[index], tokenizer, add_progress)
    except (UserError, OSError) as error:
        errors.put(line_of(error))
        sys.exit(2)


def _fetch_and_add(counter: Any, amount: int) -> int:
    """Add to a counter that processes share, and return its previous value."""
    with counter.get_lock():
        before = int(counter.value)
        counter.value += amount
    return before
