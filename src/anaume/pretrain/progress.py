"""What a person sees while a stage trains: a bar on a terminal, a line every few seconds in a log file."""

import time
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

# Seconds between lines where standard error is no terminal.
QUIET_SECONDS = 10.0


class Progress:
    """Shows step, loss, real tokens a second, MFU and the time left, on standard error."""

    def __init__(self, name: str, steps: int, done: int, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet)
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.name, self.steps, self.quiet = name, steps, quiet
        self.begun, self.done = time.monotonic(), done
        self.task = self.bar.add_task(name, total=steps, completed=done, figures="")
        self.last_line = 0.0

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def show(self, step: int, record: dict[str, Any]) -> None:
        """Show a train record of metrics.jsonl."""
        figures = (
            f"loss {record['loss']:.3f}  {record['tokens_per_second']:,.0f} tokens/s  MFU {100 * record['mfu']:.0f} %"
        )
        self.bar.update(self.task, completed=step, figures=figures)
        if self.quiet or self.console.is_terminal:
            return
        now = time.monotonic()
        if now - self.last_line > QUIET_SECONDS or step == self.steps:
            left = timedelta(seconds=round((now - self.begun) / (step - self.done) * (self.steps - step)))
            print(f"{self.name} {step}/{self.steps}  {figures}  {left} left", file=self.console.file, flush=True)
            self.last_line = now
