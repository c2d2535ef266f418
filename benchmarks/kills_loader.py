"""What SIGKILL does to reading batches: kills at random moments, each time begun again where the last batch was noted.

    python benchmarks/kills_loader.py TOKENS --tokenizer DIR [--kills 30] [--batches 3000]

TOKENS is a folder that `anaume tokens` wrote. A reader notes each batch as a line: the position after it and a
checksum of all its arrays. It is killed at random moments and begun again from the last whole line, each time with
another number of worker processes; in the end the lines must be those of one that was not killed.
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

from anaume.batches.loader import Position, Share, position_of
from anaume.batches.plan import BatchPlan
from anaume.batches.workers import prefetch
from anaume.tokenizer.load import load_tokenizer
from anaume.tokens.build import open_stores


def read(tokens: Path, folder: Path, length: int, workers: int, lines: Path, count: int) -> None:
    """Note batches in `lines` until there are `count`, going on after what is there."""
    noted = [line for line in lines.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    lines.write_bytes(b"".join(noted))
    loaded = load_tokenizer(folder)
    stores = open_stores(tokens, loaded)
    plan = BatchPlan(stores, (1.0,) * len(stores), loaded, seed=1, length=length, row_tokens=8192)
    position = position_of(json.loads(noted[-1])["after"]) if noted else Position()
    with lines.open("a", encoding="utf-8") as stream:
        for batch, after in islice(prefetch(plan, position, Share(), workers), count - len(noted)):
            content = hashlib.sha256(b"".join(array.tobytes() for array in vars(batch).values())).hexdigest()
            stream.write(json.dumps({"batch": content, "after": asdict(after)}) + "\n")
            stream.flush()


def main() -> None:
    """Kill, compare, print; exit status 1 if a line differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--batches", type=int, default=3_000)
    parser.add_argument("--length", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--lines", type=Path, help=argparse.SUPPRESS)  # given: this is the reader
    given = parser.parse_args()
    if given.lines:
        read(given.tokens, given.tokenizer, given.length, given.workers, given.lines, given.batches)
        return
    chance = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:

        def start(lines: Path, workers: int) -> subprocess.Popen[bytes]:
            lines.touch()
            options = ["--lines", str(lines), "--workers", str(workers)]
            return subprocess.Popen([sys.executable, *sys.argv, *options])

        straight, killed = Path(folder, "straight"), Path(folder, "killed")
        begun = time.perf_counter()
        assert start(straight, 0).wait() == 0, "the straight reader failed"
        seconds = time.perf_counter() - begun
        wanted = straight.read_bytes()
        kills = mid_work = 0
        while kills < given.kills:
            process = start(killed, chance.randrange(3))
            before = killed.stat().st_size
            while killed.stat().st_size == before and process.poll() is None and chance.random() < 0.998:
                time.sleep(0.05)  # mostly until it notes batches again, sometimes while it starts
            time.sleep(chance.uniform(0, seconds / given.kills))
            mid_work += killed.stat().st_size > before
            process.kill()
            kills += process.wait() != 0
            if len(killed.read_bytes()) >= len(wanted):
                assert killed.read_bytes() == wanted, "a batch differs"
                killed.unlink()
        assert start(killed, 2).wait() == 0, "the last reader failed"
        same = killed.read_bytes() == wanted
    print(f"{kills} kills, {mid_work} of them while batches were read; a straight reader takes {seconds:.1f} s")
    print(f"{given.batches:,} batches of {given.length:,}: {'equal' if same else 'NOT EQUAL'}")
    sys.exit(not same)


if __name__ == "__main__":
    main()
