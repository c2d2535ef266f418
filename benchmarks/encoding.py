"""Speed of tokenising: SentencePiece beside `tokenizers` on one core, and two workers beside one.

    python benchmarks/encoding.py 'data/*.jsonl.gz' --model llm-jp-tokenizer-100k.ver3.0b1.model [--copies 5]

The first part measures the encoders alone, in turn, on the first `--documents` of the corpus in memory:
`Tokenizer.encode` with the SentencePiece model, and `tokenizers` (encode_batch_fast, one thread) with the
tokenizer.json of the same folder. Their ids must be equal, and the seconds are processor time. The second part measures
the verb `anaume tokens` with one worker and with two, in turn: wall clock of the whole command, and `seconds` of its
summary, which exclude the start of Python and the loading of the tokenizer (about a second, with any number of
workers). `--copies` repeats the corpus for the verb.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

os.environ["RAYON_NUM_THREADS"] = "1"  # `tokenizers` reads it at its first use

import tokenizers

from anaume.corpus.readers import documents
from anaume.corpus.source import Source
from anaume.tokenizer.adapt import adapt_tokenizer
from anaume.tokenizer.load import Tokenizer, load_tokenizer

BATCH = 64


def ids(encode: Callable[[list[str]], list[Any]], texts: list[str]) -> list[Any]:
    """The ids of all texts, encoded in batches of the verb's size."""
    return [row for start in range(0, len(texts), BATCH) for row in encode(texts[start : start + BATCH])]


def compare_encoders(tokenizer: Tokenizer, texts: list[str], rounds: int) -> tuple[float, float]:
    """Median tokens per second of SentencePiece and of `tokenizers`."""
    fast = tokenizers.Tokenizer.from_file(str(tokenizer.folder / "tokenizer.json"))
    fast.encode_special_tokens = True
    encoders: list[Callable[[list[str]], list[Any]]] = [
        tokenizer.encode,
        lambda batch: [encoding.ids for encoding in fast.encode_batch_fast(batch, add_special_tokens=False)],
    ]
    assert all(list(a) == b for a, b in zip(*(ids(encode, texts) for encode in encoders), strict=True)), "ids differ"
    speeds: list[list[float]] = [[], []]
    for _ in range(rounds):
        for encode, tokens_per_second in zip(encoders, speeds, strict=True):
            start = time.process_time()
            tokens = sum(map(len, ids(encode, texts)))
            tokens_per_second.append(tokens / (time.process_time() - start))
    return statistics.median(speeds[0]), statistics.median(speeds[1])


def run_verb(corpora: list[str], tokenizer: Path, workers: int) -> tuple[float, float]:
    """Seconds of `anaume tokens` with this number of workers: wall clock, and the seconds of its summary."""
    with tempfile.TemporaryDirectory() as out:
        arguments = [*corpora, "--tokenizer", str(tokenizer), "--workers", str(workers), "--out", f"{out}/tokens"]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "anaume", "tokens", *arguments], check=True, capture_output=True)
        return time.perf_counter() - start, json.loads(Path(out, "tokens/summary.json").read_text())["seconds"]


def main() -> None:
    """Print a table of medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--copies", type=int, default=1)
    parser.add_argument("--documents", type=int, default=1000)
    options = parser.parse_args()
    table = Table("what", "first", "second", "ratio")
    with tempfile.TemporaryDirectory() as folder:
        adapt_tokenizer(options.model, Path(folder, "tokenizer"))
        tokenizer = load_tokenizer(Path(folder, "tokenizer"))
        texts = [document.text for document in islice(documents(Source(path=options.corpus)), options.documents)]
        ours, theirs = compare_encoders(tokenizer, texts, options.rounds)
        table.add_row("tokens/s: SentencePiece, tokenizers", f"{ours:,.0f}", f"{theirs:,.0f}", f"{ours / theirs:.2f}")
        runs = [
            [run_verb([options.corpus] * options.copies, tokenizer.folder, workers) for workers in (1, 2)]
            for _ in range(options.rounds)
        ]
        for index, name in enumerate(("wall clock", "the summary's seconds")):
            first, second = (statistics.median(run[workers][index] for run in runs) for workers in (0, 1))
            table.add_row(f"{name}: one worker, two", f"{first:.2f} s", f"{second:.2f} s", f"{first / second:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
