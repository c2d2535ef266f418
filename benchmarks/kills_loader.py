"""Recovery of the loader after SIGKILL: a reader is killed at random moments and continues after its last batch.

    python benchmarks/kills_loader.py TOKENS --tokenizer DIR [--kills 30] [--batches 3000]

TOKENS is a folder that `anaume tokens` wrote. A reader writes a line per batch: the position after it and a checksum of
all its arrays. After each kill it starts again from the last whole line, with a random number of worker processes. In
the end the lines must equal those of a reader that was not killed.
"""

import argparse
import hashlib
import json
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import numpy as np

from anaume.batches.loader import Position, Share, position_of
from anaume.batches.plan import BatchPlan
from anaume.batches.workers import prefetch
from anaume.tokenizer.load import load_tokenizer
from anaume.tokens.build import open_stores


def read(tokens: Path, folder: Path, length: int, workers: int, lines: Path, count: int) -> None:
    """Append a line per batch to the file `lines` until it has `count` lines."""
    written = [line for line in lines.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    lines.write_bytes(b"".join(written))
    loaded = load_tokenizer(folder)
    stores = open_stores(tokens, loaded)
    plan = BatchPlan(stores, (1.0,) * len(stores), loaded, seed=1, length=length, row_tokens=8192)
    position = position_of(json.loads(written[-1])["after"]) if written else Position()
    with lines.open("a", encoding="utf-8") as stream, prefetch(plan, position, Share(), workers) as loaded_batches:
        for batch, after in islice(loaded_batches, count - len(written)):
            values = [np.asarray(value).tobytes() for value in vars(batch).values()]
            content = hashlib.sha256(b"".join(values)).hexdigest()
            stream.write(json.dumps({"batch": content, "after": asdict(after)}) + "\n")
            stream.flush()


def main() -> None:
    """Kill readers, compare their lines and print the result; the exit status is 1 if a line differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--batches", type=int, default=3_000)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--lines", type=Path, help=argparse.SUPPRESS)  # marks the process of a reader
    options = parser.parse_args()
    if options.lines:
        read(options.tokens, options.tokenizer, options.length, options.workers, options.lines, options.batches)
        return
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:

        def start(lines: Path, workers: int) -> subprocess.Popen[bytes]:
            lines.touch()
            arguments = ["--lines", str(lines), "--workers", str(workers)]
            return subprocess.Popen([sys.executable, *sys.argv, *arguments])

        straight, killed = Path(folder, "straight"), Path(folder, "killed")
        began = time.perf_counter()
        assert start(straight, 0).wait() == 0, "the straight reader failed"
        seconds = time.perf_counter() - began
        expected = straight.read_bytes()
        kills = mid_work = 0
        while kills < options.kills:
            process = start(killed, chance.randrange(3))
            before = killed.stat().st_size
            while killed.stat().st_size == before and process.poll() is None and chance.random() < 0.998:
                time.sleep(0.05)  # mostly until it writes batches again, sometimes while it starts
            time.sleep(chance.uniform(0, seconds / options.kills))
            mid_work += killed.stat().st_size > before
            process.kill()
            kills += process.wait() != 0
            if len(killed.read_bytes()) >= len(expected):
                assert killed.read_bytes() == expected, "a batch differs"
                killed.unlink()
        assert start(killed, 2).wait() == 0, "the last reader failed"
        same = killed.read_bytes() == expected
    print(f"{kills} kills, {mid_work} of them while batches were read; a straight reader takes {seconds:.1f} s")
    print(f"{options.batches:,} batches of {options.length:,}: {'equal' if same else 'NOT EQUAL'}")
    sys.exit(not same)


if __name__ == "__main__":
    main()
