"""Memory and speed of `anaume tokens` on one large file.

    python benchmarks/large_file.py 'data/*.jsonl.gz' --tokenizer DIR --gigabytes 10 --workers 2 [--folder DIR]

Makes a .jsonl of so many gigabytes (10^9 bytes) by repeating a corpus, each document with its number before it, then
tokenises it. Five times a second the resident memory of the command and of all its children is read: `sum` counts
pages that processes share once for each, so it is an upper bound; `largest` is that of one process.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from itertools import count
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

from anaume.corpus.readers import documents
from anaume.corpus.source import Source


def make(corpus: str, size: int, file: Path) -> None:
    """Write lines until the file has `size` bytes or a little more."""
    texts = [document.text for document in documents(Source(path=corpus))]
    written = 0
    with file.open("wb") as stream:
        for number in count():
            text = f"{number} 番。{texts[number % len(texts)]}"
            written += stream.write(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n")
            if written >= size:
                return


def peak_memory(command: list[str]) -> tuple[int, int]:
    """Run a command; peaks in bytes of the sum over its processes, and of the largest one."""
    peak_sum = peak_one = 0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        found = []
        with suppress(psutil.NoSuchProcess):
            for one in [process, *process.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    found.append(one.memory_info().rss)
        peak_sum, peak_one = max(peak_sum, sum(found)), max(peak_one, *found, 0)
        with suppress(psutil.TimeoutExpired):
            process.wait(0.2)
    if process.returncode:
        sys.exit(f"anaume tokens ended with status {process.returncode}")
    return peak_sum, peak_one


def main() -> None:
    """Make the file, tokenise it, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--folder", help="where the file and its tokens are while this runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        file, out = Path(folder, "large.jsonl"), Path(folder, "tokens")
        make(given.corpus, int(given.gigabytes * 1e9), file)
        words = [str(file), "--tokenizer", given.tokenizer, "--workers", given.workers, "--out", str(out)]
        peak_sum, peak_one = peak_memory([sys.executable, "-m", "anaume", "tokens", *words])
        summary = json.loads((out / "summary.json").read_text())
        table = Table("what", given.workers + " workers")
        table.add_row("file", f"{file.stat().st_size / 1e9:.2f} GB, {summary['documents']:,} documents")
        table.add_row("tokens", f"{summary['tokens']:,}")
        table.add_row("seconds", f"{summary['seconds']:,.1f}")
        table.add_row("tokens a second", f"{summary['tokens_per_second']:,.0f}")
        table.add_row("peak memory, sum", f"{peak_sum / 1e6:,.0f} MB")
        table.add_row("peak memory, largest", f"{peak_one / 1e6:,.0f} MB")
    Console().print(table)


if __name__ == "__main__":
    main()
