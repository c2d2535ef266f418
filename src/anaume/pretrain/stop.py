"""A request to stop: SIGTERM, or SIGUSR1 as Slurm sends it before it takes a machine away."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Notes a signal for the time of a block; training looks at `signal` after each step. Empty: none came."""

    def __init__(self) -> None:
        self.signal = ""
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the form that signal wants
        self.signal = signal.Signals(number).name


@contextmanager
def shielded() -> Iterator[None]:
    """Processes that begin in this block never get the signals; this one gets them when the block has ended.

    Launchers signal a rank's whole process group, and a rank whose loaders are dead can't end its step. A mask reaches
    a new process from its first instruction on; a handler would come after seconds of imports.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    # Begins with the first process, and takes SIGTERM off the mask when it does: so it is begun here, and masked again.
    resource_tracker.ensure_running()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
