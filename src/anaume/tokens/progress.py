"""The progress bar of a build: bytes of the corpus that are behind, tokens so far."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Show = Callable[[int, int], None]


@contextmanager
def progress_bar(total_bytes: int) -> Iterator[Show]:
    """Give a function that shows (bytes, tokens) on standard error; without a known total the bar pulses."""
    columns = (TextColumn("tokens"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[tokens]:,}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        task = progress.add_task("tokens", total=total_bytes or None, tokens=0)
        yield lambda read, tokens: progress.update(task, completed=read, tokens=tokens)
