"""What a person sees while a verb works: bars on a terminal, and lines in a log file where a run takes hours.

Everything here goes to standard error. The rule: every room tells people something through this module only, so that
the Python API can silence it.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

# Seconds between two lines of `TrainingProgress` where standard error is not a terminal.
LINE_SECONDS = 10.0

_shown: ContextVar[bool] = ContextVar("shown", default=True)


@contextmanager
def progress_shown(on: bool) -> Iterator[None]:
    """Show bars and lines within this block, or none of them."""
    token = _shown.set(on)
    try:
        yield
    finally:
        _shown.reset(token)


def say(line: str) -> None:
    """Print a line to standard error."""
    if _shown.get():
        print(line, file=sys.stderr)


def error_console(*, quiet: bool = False) -> Console:
    """A console on standard error, which prints nothing if it is `quiet` or progress is not shown.

    In a notebook it prints lines, as into a log file, because widgets would appear even if it is quiet.
    """
    return Console(stderr=True, quiet=quiet or not _shown.get(), force_jupyter=False)


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, and nothing in a log file. Yields a function that advances the bar by an amount."""
    with console_bar(title, total) as (_, advance):
        yield advance


@contextmanager
def console_bar(title: str, total: int) -> Iterator[tuple[Console, Callable[[int], None]]]:
    """Like `bar`, and also yields the console whose lines appear above the bar, on a terminal or not."""
    console = error_console()
    columns = Progress.get_default_columns()
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield progress.console, lambda amount: progress.advance(task, amount)


@contextmanager
def tokens_bar(total_bytes: int) -> Iterator[Callable[[int, int], None]]:
    """Show how much of a corpus is tokenised. Yields a function of (bytes read, tokens made) so far.

    Without a known total, 0 bytes, the bar pulses.
    """
    columns = (TextColumn("tokens"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[tokens]:,}"))
    with Progress(*columns, TimeRemainingColumn(), console=error_console()) as progress:
        task = progress.add_task("tokens", total=total_bytes or None, tokens=0)
        yield lambda read, tokens: progress.update(task, completed=read, tokens=tokens)


class TrainingProgress:
    """Step, losses, speed and time left of a stage: a bar on a terminal, or a line every few seconds in a log file.

    `first_step` is the step that training resumes from. `quiet` silences all ranks but the main one.
    """

    def __init__(self, stage: str, steps: int, first_step: int, quiet: bool = False) -> None:
        self.console = error_console(quiet=quiet)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self.stage, self.steps, self.prints_lines = stage, steps, not (self.console.quiet or self.console.is_terminal)
        self.start_time, self.first_step = time.monotonic(), first_step
        self.task = self.progress.add_task(stage, total=steps, completed=first_step, figures="")
        self.last_line_time: float | None = None
        self.train_figures = ""
        self.validation_figures: dict[str, str] = {}  # name of a validation set → what is shown of it

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.progress.stop()

    def advance(self, step: int) -> None:
        """Show that a step is complete, and after the first one the time left."""
        self.progress.update(self.task, completed=step)
        if self.last_line_time is None:
            self._print_line(step)

    def show(self, step: int, record: dict[str, Any]) -> None:
        """Show a "train" record of metrics.jsonl."""
        loss = "nothing to predict" if record["loss"] is None else f"loss {record['loss']:.3f}"
        self.train_figures = f"{loss}  {record['tokens_per_second']:,.0f} tokens/s  MFU {100 * record['mfu']:.0f} %"
        self._update()
        if self.last_line_time is None or time.monotonic() - self.last_line_time > LINE_SECONDS or step == self.steps:
            self._print_line(step)

    @contextmanager
    def validation(self, tokens: int) -> Iterator[Callable[[int], None]]:
        """Show a bar while `tokens` tokens are scored. Yields a function that advances the bar by some of them."""
        if self.prints_lines and self.last_line_time is None:
            print(f"{self.stage}: validation on {tokens:,} tokens", file=self.console.file, flush=True)
        task = self.progress.add_task("validation", total=tokens, figures="")
        try:
            yield lambda scored: self.progress.advance(task, scored)
        finally:
            self.progress.remove_task(task)
        if self.last_line_time is None:
            self.start_time = time.monotonic()  # the time of a step does not include the validation before the first

    def show_validation(self, step: int, record: dict[str, Any]) -> None:
        """Show a "validation" record of metrics.jsonl."""
        name = record.get("set", "")
        title = f"validation {name}".strip()
        if record["loss"] is None:
            self.validation_figures[name] = f"{title}: nothing to predict"
        else:
            figures = f"loss {record['loss']:.3f}, accuracy {100 * record['accuracy']:.1f} %"
            self.validation_figures[name] = f"{title} {figures} at step {step}"
        self._update()
        if self.prints_lines:
            line = f"{self.stage} {step}/{self.steps}  {self.validation_figures[name]}"
            print(line, file=self.console.file, flush=True)

    def _update(self) -> None:
        self.progress.update(
            self.task, figures="  ".join(filter(None, (self.train_figures, *self.validation_figures.values())))
        )

    def _print_line(self, step: int) -> None:
        if not self.prints_lines:
            return
        self.last_line_time = time.monotonic()
        per_step = (self.last_line_time - self.start_time) / (step - self.first_step)
        left = timedelta(seconds=round(per_step * (self.steps - step)))
        figures = self.train_figures or f"{per_step:.2g} s a step"
        print(f"{self.stage} {step}/{self.steps}  {figures}  {left} left", file=self.console.file, flush=True)
