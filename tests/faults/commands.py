"""Commands of anaume in processes of their own, which start in a tenth of a second.

A process that has imported everything once is forked for each command. The child runs `anaume.cli.main` with its own
arguments, signals, working folder and standard output, and ends as any Python process ends.
"""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from anaume.processes import end_with_parent

# What takes seconds to import. None of it starts a thread at import.
PRELOADED = (
    "anaume.cli",
    "anaume.evals.evaluate",
    "anaume.export.checkpoint",
    "anaume.pretrain.loop",
    "anaume.report.page",
    "anaume.evals.jglue.grid",
    "anaume.evals.retrieval.task",
    "anaume.evals.validation",
    "transformers.models.modernbert.modeling_modernbert",
    "plotly.graph_objects",
    "matplotlib.pyplot",
)

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(list(PRELOADED))


@dataclass(frozen=True)
class Fault:
    """An error to inject: call number `call` (from 1) of the function `name` of `module` raises `error`."""

    module: str
    name: str
    call: int
    error: BaseException


@dataclass(frozen=True)
class Ended:
    """A command that has ended: exit status (minus the signal's number if one ended it), and what it wrote."""

    status: int
    out: str
    err: str


@dataclass(frozen=True)
class Command:
    """A running command, which leads a session of its own."""

    process: BaseProcess
    folder: Path

    def wait(self, seconds: float) -> Ended | None:
        """The command after its end, or None if it still runs after `seconds`."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            return None
        out, err = ((self.folder / name).read_text(encoding="utf-8", errors="replace") for name in ("out", "err"))
        return Ended(self.process.exitcode, out, err)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command's main process alone, as the kernel does when memory runs out."""
        assert self.process.pid
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End the main process by SIGKILL and wait for its end."""
        self.process.kill()
        self.process.join()

    def orphans(self, seconds: float = 60) -> list[str]:
        """Command lines of the processes that the command started and that outlive it by `seconds`.

        A process that has just been started first imports torch, and only then sees that its parent is gone.
        """
        end = time.monotonic() + seconds
        while (alive := _session(self.process.pid)) and time.monotonic() < end:
            psutil.wait_procs(alive, timeout=0.1)
        return [" ".join(process.cmdline()) for process in alive]


def start(
    words: Sequence[object], folder: Path, environment: Mapping[str, str] | None = None, fault: Fault | None = None
) -> Command:
    """Start `anaume` with these words; its standard output and error go to `out` and `err` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    process = _context.Process(
        target=_run, args=([str(word) for word in words], folder, dict(environment or {}), fault)
    )
    process.start()
    return Command(process, folder)


def run(
    words: Sequence[object], folder: Path, environment: Mapping[str, str] | None = None, seconds: float = 120
) -> Ended:
    """Run `anaume` with these words to its end, which comes within `seconds`."""
    command = start(words, folder, environment)
    ended = command.wait(seconds)
    if ended is None:
        command.kill()
    assert ended is not None, f"anaume {' '.join(map(str, words))}: still running after {seconds} seconds"
    return ended


def _run(words: list[str], folder: Path, environment: dict[str, str], fault: Fault | None) -> None:
    """In the child: become the command, in a folder of its own, where it writes what it is told to write by mistake.

    The command ends with the tests, even if they are killed.
    """
    end_with_parent()
    os.setsid()
    os.chdir(folder)
    os.environ.update(environment)
    for number, name in ((1, "out"), (2, "err")):
        descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    for number in (signal.SIGINT, signal.SIGTERM):  # a fork server ignores SIGINT
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    if fault:
        _inject(fault)
    sys.argv = ["anaume", *words]
    from anaume import cli

    cli.main()


def _inject(fault: Fault) -> None:
    """Let one call of a function raise an error in this process."""
    module = import_module(fault.module)
    original, calls = getattr(module, fault.name), count(1)

    def failing(*arguments: Any, **options: Any) -> Any:
        if next(calls) == fault.call:
            raise fault.error
        return original(*arguments, **options)

    setattr(module, fault.name, failing)


def _session(leader: int | None) -> list[psutil.Process]:
    """The living processes of a session, its leader excepted."""
    members = []
    for process in psutil.process_iter():
        try:
            if process.pid != leader and os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    return members
