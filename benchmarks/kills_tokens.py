"""Recovery of `anaume tokens` after SIGKILL: the command is killed at random moments and repeated until it finishes.

    python benchmarks/kills_tokens.py 'data/*.jsonl.gz' --tokenizer DIR [--kills 30] [--workers 2]

A straight run comes first. Then runs are killed (only the parent, as the kernel does) at random moments within the
length of the straight run. A run that finishes before its kill is compared, and the next one starts in an empty folder.
Every file of a finished folder must equal that of the straight run, except summary.json, which contains seconds.
"""

import argparse
import collections
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from anaume.tokens.build import verify


def content(folder: Path) -> dict[str, bytes]:
    """Name → content of every file except the summary."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "summary.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def stage(out: Path, shards: int) -> str:
    """The progress of a killed run, in words."""
    if not (out / "sources.json").exists():
        return "before the first part"
    whole = len(list(out.glob("source-*/*/header.json")))
    return f"mid-work, {whole} of {shards} parts whole" if whole < shards else "all parts whole"


def main() -> None:
    """Kill runs, compare their folders and print the result; the exit status is 1 if a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        straight, out = Path(folder, "straight"), Path(folder, "killed")

        def start(target: Path) -> subprocess.Popen[bytes]:
            arguments = [
                options.corpus,
                "--tokenizer",
                options.tokenizer,
                "--workers",
                options.workers,
                "--out",
                str(target),
            ]
            command = [sys.executable, "-m", "anaume", "tokens", *arguments]
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        began = time.perf_counter()
        assert start(straight).wait() == 0, "the straight run failed"
        seconds = time.perf_counter() - began
        expected = content(straight)
        shards = len(list(straight.glob("source-*/*/header.json")))
        hits: collections.Counter[str] = collections.Counter()
        same, finished, left_behind = True, 0, 0
        while hits.total() < options.kills or finished == 0 or out.exists():
            process = start(out)
            if hits.total() < options.kills:
                time.sleep(chance.uniform(0, seconds))
            else:
                process.wait()
            if process.poll() is None:
                workers = psutil.Process(process.pid).children(recursive=True)
                process.kill()
                process.wait()
                hits[stage(out, shards)] += 1
                left_behind += len(psutil.wait_procs(workers, timeout=60)[1])
            else:
                finished += 1
                same = same and content(out) == expected and verify(out) == []
                shutil.rmtree(out)
    table = Table("killed", "times")
    for name, times in sorted(hits.items()):
        table.add_row(name, str(times))
    Console().print(table)
    mid_work = sum(times for name, times in hits.items() if name.startswith("mid-work"))
    print(f"{hits.total()} kills, {mid_work} of them mid-work; a straight run takes {seconds:.1f} s")
    print(f"{finished} finished folders, {'equal byte for byte' if same else 'NOT EQUAL'}, workers left: {left_behind}")
    sys.exit(not same)


if __name__ == "__main__":
    main()
