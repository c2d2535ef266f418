"""Hours of training with a resume every few minutes: how memory, descriptors and disk grow.

    python -m tests.faults.soak [--hours 2] [--minutes 5] [--out soak.json]

The same run is stopped by turns with SIGTERM and SIGKILL and started again. A sample is taken every five seconds. The
slope of a quantity is that of the straight line through the samples of one start, without its first minute; the table
has the median over the starts, and the highest value of the first and of the last start.
"""

import argparse
import json
import signal
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table
from tests.faults import commands

from anaume.corpus.hakoniwa.stream import write_corpus

RECIPE = """
name = "soak"
[[corpus.train]]
path = "{folder}/train.jsonl"
[[corpus.validation]]
path = "{folder}/validation.jsonl"
[tokenizer]
train = 2048
[model]
layers = 3
hidden = 64
heads = 2
intermediate = 96
positions = 512
[[stage]]
name = "soak"
length = 256
steps = 10_000_000
batch_tokens = 2048
micro_batch_tokens = 1024
warmup_steps = 10
validation_tokens = 4096
validate_every = 50
save_every = 100
keep_every = 10_000_000
"""
# Samples of the first minute of a start are left out of its slope: torch fills its caches.
SETTLED = 60.0
PAUSE = 5.0


@dataclass(frozen=True)
class Sample:
    """The main process at `seconds` after its start: bytes of its own memory, descriptors, and bytes of the run."""

    seconds: float
    memory: int
    descriptors: int
    disk: int


def disk_usage(folder: Path) -> int:
    """Bytes of all files in a folder, while another process writes and removes files there."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def observe(command: commands.Command, run: Path, seconds: float) -> list[Sample]:
    """Samples of a running command until `seconds` have passed."""
    process, begin, samples = psutil.Process(command.process.pid), time.monotonic(), []
    while (passed := time.monotonic() - begin) < seconds:
        assert command.wait(PAUSE) is None, (command.folder / "err").read_text(encoding="utf-8")[-2_000:]
        memory = process.memory_full_info().uss
        samples.append(Sample(passed, memory, process.num_fds(), disk_usage(run)))
    return samples


def slope(samples: list[Sample], field: str) -> float:
    """Growth of a field per hour, by least squares over the settled samples."""
    settled = [sample for sample in samples if sample.seconds >= SETTLED]
    if len(settled) < 2:
        return 0.0
    values = [getattr(sample, field) for sample in settled]
    return float(np.polyfit([sample.seconds / 3600 for sample in settled], values, 1)[0])


def main() -> None:
    """Train, stop and resume for the given hours, and print the growth."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=2)
    parser.add_argument("--minutes", type=float, default=5, help="of each start")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    starts: list[list[Sample]] = []
    with tempfile.TemporaryDirectory(prefix="anaume-soak-") as temporary:
        folder = Path(temporary)
        write_corpus(folder, megabytes=2, seed=0)
        (folder / "recipe.toml").write_text(RECIPE.format(folder=folder), encoding="utf-8")
        words, end = (
            ["pretrain", folder / "recipe.toml", "--run", folder / "run"],
            time.monotonic() + 3600 * options.hours,
        )
        while time.monotonic() < end:
            command = commands.start(words, folder / "log")
            starts.append(observe(command, folder / "run", 60 * options.minutes))
            if len(starts) % 2:
                command.signal(signal.SIGTERM)
                ended = command.wait(60)
                assert ended is not None, "still running a minute after SIGTERM"
                assert ended.status == 0, ended.err[-2_000:]
            else:
                command.kill()
            last = json.loads((folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()[-1])
            print(f"start {len(starts)}: step {last['step']:,}, loss {last['loss']:.3f}", flush=True)
    show(starts, last["step"])
    if options.out:
        table = {"steps": last["step"], "starts": [[asdict(sample) for sample in start] for start in starts]}
        options.out.write_text(json.dumps(table) + "\n", encoding="utf-8")


def show(starts: list[list[Sample]], steps: int) -> None:
    """Print growth and highest values."""
    table = Table(title=f"{len(starts)} starts, {steps:,} steps", title_justify="left")
    for head in ("", "growth an hour, median of the starts", "highest, first start", "highest, last start"):
        table.add_column(head, justify="right" if head else "left")
    for field, unit, form in (
        ("memory", 1e6, "{:,.2f} MB"),
        ("descriptors", 1, "{:,.1f}"),
        ("disk", 1e6, "{:,.2f} MB"),
    ):
        growth = statistics.median(slope(samples, field) for samples in starts)
        highest = [max(getattr(sample, field) for sample in samples) for samples in (starts[0], starts[-1])]
        table.add_row(field, *(form.format(value / unit) for value in (growth, *highest)))
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
