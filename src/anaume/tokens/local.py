"""The tasks of a job on this machine: in this process, or side by side in several.

Not datatrove's local executor: it tells of whole parts only, shows a mistake as a traceback, and loads the tokenizer
again for each part.
"""

import multiprocessing
import signal
import sys
import threading
from collections.abc import Sequence
from multiprocessing.connection import wait
from typing import Any

from anaume.errors import UserError
from anaume.processes import end_with_parent
from anaume.progress import tokens_bar
from anaume.tokenizer.load import Tokenizer
from anaume.tokens.job import Job
from anaume.tokens.shard import ShardTask, make


def run(job: Job, tokenizer: Tokenizer, workers: int) -> None:
    """Make every shard that isn't there yet.

    Raises:
        UserError: a part can't be read; those that are finished stay.
    """
    total = sum(task.part.bytes for task in job.todo)
    if min(workers, len(job.todo)) > 1:
        _run_in_processes(job.todo, tokenizer, min(workers, len(job.todo)), total)
        return
    with tokens_bar(total) as show:
        behind = [0, 0]

        def add(read_bytes: int, tokens: int) -> None:
            behind[0] += read_bytes
            behind[1] += tokens
            show(*behind)

        for task in job.todo:
            make(task, tokenizer, add)


def _run_in_processes(tasks: Sequence[ShardTask], tokenizer: Tokenizer, workers: int, total: int) -> None:
    # Forks have the tokenizer already, but a process with threads (the progress bar has one) must not fork.
    may_fork = sys.platform == "linux" and threading.active_count() == 1
    context: Any = multiprocessing.get_context("fork" if may_fork else "spawn")
    taken, read_bytes, tokens = (context.Value("q", 0) for _ in range(3))
    mistakes = context.SimpleQueue()
    arguments = (tasks, tokenizer, taken, read_bytes, tokens, mistakes)
    processes = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(workers)]
    try:
        for process in processes:
            process.start()
        with tokens_bar(total) as show:
            while running := [process.sentinel for process in processes if process.exitcode is None]:
                wait(running, timeout=0.2)
                if any(process.exitcode for process in processes):
                    break
                show(read_bytes.value, tokens.value)
    finally:
        for process in processes:
            process.terminate()  # does nothing to one that has ended; a part is whole or absent
            process.join()
    if not mistakes.empty():
        raise UserError(mistakes.get())
    failed = [process.exitcode for process in processes if process.exitcode]
    if failed:
        raise UserError(
            f"a worker ended with status {failed[0]} (-9: killed, mostly for want of memory); finished parts stay: "
            "run the same command again"
        )


def _work(
    tasks: Sequence[ShardTask], tokenizer: Tokenizer, taken: Any, read_bytes: Any, tokens: Any, mistakes: Any
) -> None:
    """What a process does: the next task that nobody has taken, until there is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers it
    end_with_parent()

    def add(more_bytes: int, more_tokens: int) -> None:
        _add(read_bytes, more_bytes)
        _add(tokens, more_tokens)

    try:
        while (index := _add(taken, 1)) < len(tasks):
            make(tasks[index], tokenizer, add)
    except UserError as error:
        mistakes.put(str(error))
        sys.exit(2)


def _add(counter: Any, step: int) -> int:
    """Add to a counter that processes share; give what it was before."""
    with counter.get_lock():
        before = int(counter.value)
        counter.value += step
    return before
