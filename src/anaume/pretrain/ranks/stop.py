"""Requests to stop: Ctrl-C, SIGTERM, and SIGUSR1, which Slurm sends before the time of a job ends."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Records a stop signal within a block: `signal` is its name, or empty. Training reads it after each step.

    A second Ctrl-C ends the process at once, as a KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.signal = ""
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signature that signal requires
        name = signal.Signals(number).name
        if name == self.signal == "SIGINT":
            raise KeyboardInterrupt
        self.signal = name


@contextmanager
def shielded() -> Iterator[None]:
    """Block the signals for all processes that start in this block; this process receives them after the block.

    Launchers signal the whole process group of a rank, and a rank can't finish its step without its loaders. A signal
    mask holds from the first instruction of a new process; a handler would only be set after seconds of imports.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    # Starting multiprocessing's resource tracker unblocks SIGTERM, so it starts here, and SIGTERM is blocked again.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
