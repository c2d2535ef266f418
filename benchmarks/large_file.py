"""Memory and speed of `anaume tokens` on one large file.

    python benchmarks/large_file.py 'data/*.jsonl.gz' --tokenizer DIR --gigabytes 10 --workers 2 [--folder DIR]

The script writes a .jsonl of `--gigabytes` (10^9 bytes) by repeating a corpus, with a number before each document, and
tokenises it. Five times a second it reads the resident memory of the command and of all its children: `sum` counts a
shared page once per process, so it is an upper bound; `largest` is the memory of the largest process.
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


def write_corpus(corpus: str, size: int, file: Path) -> None:
    """Write whole lines until the file has at least `size` bytes."""
    texts = [document.text for document in documents(Source(path=corpus))]
    written = 0
    with file.open("wb") as stream:
        for number in count():
            text = f"{number} 番。{texts[number % len(texts)]}"
            written += stream.write(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n")
            if written >= size:
                return


def peak_memory(command: list[str]) -> tuple[int, int]:
    """Run a command; peak memory in bytes of all its processes together, and of the largest one."""
    peak_sum = peak_largest = 0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        resident = []
        with suppress(psutil.NoSuchProcess):
            for running in [process, *process.children(recursive=True)]:
                with suppress(psutil.NoSuchProcess):
                    resident.append(running.memory_info().rss)
        peak_sum, peak_largest = max(peak_sum, sum(resident)), max(peak_largest, *resident, 0)
        with suppress(psutil.TimeoutExpired):
            process.wait(0.2)
    if process.returncode:
        sys.exit(f"anaume tokens ended with status {process.returncode}")
    return peak_sum, peak_largest


def main() -> None:
    """Write the file, tokenise it and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--workers", default="2")
    parser.add_argument("--folder", help="parent of the temporary folder for the file and its tokens")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        file, out = Path(folder, "large.jsonl"), Path(folder, "tokens")
        write_corpus(options.corpus, int(options.gigabytes * 1e9), file)
        arguments = [str(file), "--tokenizer", options.tokenizer, "--workers", options.workers, "--out", str(out)]
        peak_sum, peak_largest = peak_memory([sys.executable, "-m", "anaume", "tokens", *arguments])
        summary = json.loads((out / "summary.json").read_text())
        table = Table("what", options.workers + " workers")
        table.add_row("file", f"{file.stat().st_size / 1e9:.2f} GB, {summary['documents']:,} documents")
        table.add_row("tokens", f"{summary['tokens']:,}")
        table.add_row("seconds", f"{summary['seconds']:,.1f}")
        table.add_row("tokens a second", f"{summary['tokens_per_second']:,.0f}")
        table.add_row("peak memory, sum", f"{peak_sum / 1e6:,.0f} MB")
        table.add_row("peak memory, largest", f"{peak_largest / 1e6:,.0f} MB")
    Console().print(table)


if __name__ == "__main__":
    main()
