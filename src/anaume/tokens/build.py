"""Sources → token stores: build a folder of stores, open it, verify it, count it.

    sources ─ begin ─► parts ─► shard tasks ─ run ─► shards ─ finish ─► one store per source, and a summary
                     (job.py)                (shard.py)    (job.py)    (store.py, summary.py)

`run` is local.py (this machine) or cluster.py (Slurm, Ray). A repeated build makes only the missing shards.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from anaume.corpus.source import Source
from anaume.files import sealed
from anaume.tokenizer.load import Tokenizer
from anaume.tokens import local, store
from anaume.tokens.job import SOURCES, SUMMARY, TokenJob, begin, finish, read_sources, store_folder
from anaume.tokens.store import Store
from anaume.tokens.summary import Summary

__all__ = ["Runner", "begin", "build", "counts", "open_stores", "verify"]

Runner = Callable[[TokenJob, Tokenizer, int], None]


def build(
    sources: Sequence[Source], tokenizer: Tokenizer, out: Path, *, workers: int = 1, run: Runner = local.run
) -> Summary:
    """Write one token store per source under `out`; `run` makes the shards, `workers` at a time.

    Raises:
        UserError: a source can't be read or holds no document, or `out` holds the tokens of other sources or of
            another tokenizer.
    """
    job = begin(sources, tokenizer, out)
    if job.todo:
        run(job, tokenizer, workers)
    return finish(job)


def open_stores(out: Path, tokenizer: Tokenizer) -> list[Store]:
    """Open the stores that `build` wrote to `out`, in the order of its sources.

    Raises:
        UserError: `out` holds no stores, a store is not whole, or it was made with another tokenizer.
    """
    return [store.open(folder, tokenizer.vocabulary_hash) for folder in _store_folders(out)]


def verify(folder: Path, vocabulary_hash: str | None = None) -> list[str]:
    """List the problems of a folder that `build` wrote, or of a single store, one line each; see `store.verify`."""
    if not (folder / SOURCES).exists():
        return store.verify(folder, vocabulary_hash)
    changed = [
        file for name in (SOURCES, SUMMARY) if (file := folder / name).exists() and not sealed.is_unchanged(file)
    ]
    problems = [f"{file}: changed since it was written (checksum)" for file in changed]
    if folder / SOURCES in changed:
        return problems
    expected = vocabulary_hash or read_sources(folder)["vocabulary_hash"]
    for own_store in _store_folders(folder):
        problems += store.verify(own_store, expected)
    return problems


def counts(folder: Path) -> tuple[int, int]:
    """Numbers of documents and of tokens in a folder that `build` wrote, or in a single store, from the headers."""
    folders = _store_folders(folder) if (folder / SOURCES).exists() else [folder]
    headers = [store.read_header(own_store) for own_store in folders]
    return sum(header.documents for header in headers), sum(header.tokens for header in headers)


def _store_folders(out: Path) -> list[Path]:
    return [store_folder(out, index) for index in range(len(read_sources(out)["sources"]))]
