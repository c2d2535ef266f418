"""Runs that are still training → their page, written again whenever their files change, until the last run has ended.

The rule: the process sleeps between two looks at the files, and rests after each writing for nine times the processor
time of it, because the run needs the machine more than its page does.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from anaume.errors import UserError
from anaume.progress import say
from anaume.report.inputs import record_files
from anaume.report.page import read_report, write_report
from anaume.run import CheckpointName, Run

LOOK_SECONDS = 2.0
REST = 9  # times the processor time of the last writing
RELOAD_SECONDS = 10  # between two reloads of a page that a browser shows

Stamps = dict[Path, tuple[int, int]]


def watch(paths: Sequence[Path], out: Path, pause: Callable[[float], None] = time.sleep) -> Path:
    """Write the report of `paths` into `out` whenever metrics or records change, until every run has ended.

    A run has ended when the checkpoint of its last step is there. Meanwhile the page reloads itself; the page that is
    left at the end, after Ctrl-C too, does not. `pause` sleeps for a number of seconds.

    Raises:
        UserError: no path is a run; the errors of `write_report`.
    """
    runs = [Run(path) for path in paths if Run(path).exists]
    if not runs:
        raise UserError("--watch: no run directory among the inputs; expected one that is being trained")
    before: Stamps = {}
    report, rest = None, 0.0
    try:
        while not all(map(_ended, runs)):
            if rest <= 0 and (stamps := _stamps(paths)) != before:
                started = time.process_time()
                report, before = read_report(paths), stamps
                say(f"anaume: {report.write(out, RELOAD_SECONDS)}: written; Ctrl-C ends the watch")
                rest = REST * (time.process_time() - started)
            pause(LOOK_SECONDS)
            rest -= LOOK_SECONDS
    except BaseException:
        if report:
            report.write(out)
        raise
    return write_report(paths, out)


def _ended(run: Run) -> bool:
    last = run.recipe().stage[-1]
    return run.checkpoint(CheckpointName(last.name, last.steps)).is_dir()


def _stamps(paths: Sequence[Path]) -> Stamps:
    """File → its time of modification and its size, for every file that changes while a run trains."""
    stamps = {}
    for path in paths:
        run = Run(path)
        for file in (*run.main_files, *record_files(run.evals if run.exists else path)):
            try:
                state = file.stat()
            except FileNotFoundError:
                continue
            stamps[file] = (state.st_mtime_ns, state.st_size)
    return stamps
