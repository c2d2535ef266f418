"""What SIGKILL does to `anaume tokens`: kills at random moments, the same command again each time, until it is through.

    python benchmarks/kills_tokens.py 'data/*.jsonl.gz' --tokenizer DIR [--kills 30] [--workers 2]

A straight run comes first. Then runs are killed (the parent alone, as the kernel does it), at moments drawn from the
length of the straight one; one that ends before its kill is compared and begun anew in an empty folder. In the end
every file of each finished folder but summary.json, which tells of seconds, must be that of the straight run.
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
    """Name → content of every file but the summary."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "summary.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def stage(out: Path, shards: int) -> str:
    """How far a killed run had come."""
    if not (out / "sources.json").exists():
        return "before the first part"
    whole = len(list(out.glob("source-*/*/header.json")))
    return f"mid-work, {whole} of {shards} parts whole" if whole < shards else "all parts whole"


def main() -> None:
    """Kill, compare, print; exit status 1 if a byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        straight, out = Path(folder, "straight"), Path(folder, "killed")

        def start(target: Path) -> subprocess.Popen[bytes]:
            words = [given.corpus, "--tokenizer", given.tokenizer, "--workers", given.workers, "--out", str(target)]
            command = [sys.executable, "-m", "anaume", "tokens", *words]
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        begun = time.perf_counter()
        assert start(straight).wait() == 0, "the straight run failed"
        seconds = time.perf_counter() - begun
        wanted = content(straight)
        shards = len(list(straight.glob("source-*/*/header.json")))
        hits: collections.Counter[str] = collections.Counter()
        same, finished, left_behind = True, 0, 0
        while hits.total() < given.kills or finished == 0 or out.exists():
            process = start(out)
            if hits.total() < given.kills:
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
                same = same and content(out) == wanted and verify(out) == []
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
