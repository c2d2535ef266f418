"""Speed and filling of packed, masked batches on one core, also for a corpus of a billion documents.

    python benchmarks/loader.py TOKENS --tokenizer DIR              one pass over a folder that `anaume tokens` wrote
    python benchmarks/loader.py TOKENS --tokenizer DIR --billion    its documents as 1,000 shards of a million

`--billion` writes a shard of a million documents and a thousand links to it, and opens them as one store. Order, window
and reading are those of a billion documents; only their text repeats.
"""

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from anaume.batches.loader import batches
from anaume.batches.plan import BatchPlan
from anaume.tokenizer.load import Tokenizer, load_tokenizer
from anaume.tokens import store
from anaume.tokens.build import open_stores
from anaume.tokens.store import Store

SHARDS, DOCUMENTS = 1_000, 1_000_000
SHAPES = ((1024, 8192), (8192, 8192), (1024, 26_624), (8192, 24_576))  # stage length, slots of a micro-batch


def one_pass(plan: BatchPlan, limit: int) -> tuple[float, float, int]:
    """Tokens per second, share of filled slots, and number of batches, of an epoch or of its first `limit` batches."""
    tokens = count = 0
    start = time.perf_counter()
    for batch, after in islice(batches(plan), limit):
        tokens, count = tokens + batch.tokens, count + 1
        if after.epoch:
            break
    return tokens / (time.perf_counter() - start), tokens / count / plan.row_tokens, count


def measure(stores: list[Store], tokenizer: Tokenizer, rounds: int, limit: int) -> Table:
    """A table with a row per shape; speed and filling are medians over the rounds."""
    table = Table("length", "slots a batch", "batches", "slots filled", "tokens a second", "ready after")
    for length, row_tokens in SHAPES:
        plan = BatchPlan(stores, (1.0,) * len(stores), tokenizer, seed=1, length=length, row_tokens=row_tokens)
        start = time.perf_counter()
        next(batches(plan))
        ready = time.perf_counter() - start
        passes = [one_pass(replace(plan, seed=seed), limit) for seed in range(rounds)]
        speed, filled = (statistics.median(numbers[i] for numbers in passes) for i in (0, 1))
        table.add_row(
            f"{length:,}", f"{row_tokens:,}", f"{passes[0][2]:,}", f"{filled:.2%}", f"{speed:,.0f}", f"{ready:.2f} s"
        )
    return table


def billion_documents(source: Store, tokenizer: Tokenizer, folder: Path) -> Store:
    """A store of SHARDS links to one shard of DOCUMENTS documents, which repeats the documents of `source`."""
    index = np.arange(DOCUMENTS) % len(source)
    # Only the first thousand documents, cut to 100 tokens, so that the shard has 400 MB.
    documents = (source.document(int(i) % 1000)[:100] for i in index)
    store.write(folder / "shard", documents, vocab_size=tokenizer.vocab_size, vocabulary_hash=tokenizer.vocabulary_hash)
    header = store.read_header(folder / "shard")
    names = tuple(f"link-{number:04}" for number in range(SHARDS))
    for name in names:
        (folder / name).symlink_to("shard")
    total = replace(
        header, documents=SHARDS * header.documents, tokens=SHARDS * header.tokens, checksums={}, shards=names
    )
    store.write_header(folder, total)
    start = time.perf_counter()
    opened = store.open(folder, tokenizer.vocabulary_hash)
    print(f"{len(opened):,} documents in {SHARDS:,} shards open after {time.perf_counter() - start:.2f} s")
    return opened


def private_megabytes() -> float:
    """Private memory of this process, without mapped files, which are the system's cache."""
    info = psutil.Process(os.getpid()).memory_full_info()
    return float(info.uss) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokens", type=Path, help="a folder that `anaume tokens` wrote")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batches", type=int, default=10**9, help="most batches of a pass")
    parser.add_argument("--billion", action="store_true")
    options = parser.parse_args()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})  # one core
    tokenizer = load_tokenizer(options.tokenizer)
    stores = open_stores(options.tokens, tokenizer)
    with tempfile.TemporaryDirectory(dir=options.tokens.parent) as folder:
        if options.billion:
            stores, options.batches = (
                [billion_documents(stores[0], tokenizer, Path(folder))],
                min(options.batches, 1_000),
            )
        before = private_megabytes()
        Console(width=110).print(measure(stores, tokenizer, options.rounds, options.batches))
        print(f"own memory: {before:,.0f} MB with the stores open, {private_megabytes():,.0f} MB after the passes")


if __name__ == "__main__":
    main()
