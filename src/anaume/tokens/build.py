"""Sources → token stores: the whole way on one machine or on a cluster, opening the result, and checking it.

The layout of the folder is in job.py, that of a store in store.py.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from anaume.corpus.source import Source
from anaume.tokenizer.load import Tokenizer
from anaume.tokens import local, sealed, store
from anaume.tokens.job import SOURCES, SUMMARY, Job, begin, finish, read_sources, source_folder
from anaume.tokens.store import Store
from anaume.tokens.summary import Summary

__all__ = ["Runner", "begin", "build", "counts", "open_stores", "verify"]

Runner = Callable[[Job, Tokenizer, int], None]


def build(
    sources: Sequence[Source], tokenizer: Tokenizer, out: Path, *, workers: int = 1, run: Runner = local.run
) -> Summary:
    """Write one token store a source under `out`, with `workers` processes, a part at a time each.

    Raises:
        UserError: a source can't be read or holds no document (see `corpus.readers`), or `out` holds the
            tokens of other sources or of another tokenizer.
    """
    job = begin(sources, tokenizer, out)
    if job.todo:
        run(job, tokenizer, workers)
    return finish(job)


def open_stores(out: Path, tokenizer: Tokenizer) -> list[Store]:
    """The stores that `build` wrote to `out`, in the order of its sources.

    Raises:
        UserError: there are none, they are not whole, or they were made with another tokenizer.
    """
    return [store.open(folder, tokenizer.vocabulary_hash) for folder in _stores(out)]


def verify(folder: Path, vocabulary_hash: str | None = None) -> list[str]:
    """What is wrong with a folder that `build` wrote, or with a single store: see `store.verify`."""
    if not (folder / SOURCES).exists():
        return store.verify(folder, vocabulary_hash)
    changed = [
        file for name in (SOURCES, SUMMARY) if (file := folder / name).exists() and not sealed.is_unchanged(file)
    ]
    problems = [f"{file}: changed since it was written (checksum)" for file in changed]
    if folder / SOURCES in changed:
        return problems
    expected = vocabulary_hash or read_sources(folder)["vocabulary_hash"]
    return problems + [problem for one in _stores(folder) for problem in store.verify(one, expected)]


def counts(folder: Path) -> tuple[int, int]:
    """Documents and tokens in a folder that `build` wrote, or in a single store, as the headers say."""
    headers = [store.read_header(one) for one in (_stores(folder) if (folder / SOURCES).exists() else [folder])]
    return sum(header.documents for header in headers), sum(header.tokens for header in headers)


def _stores(out: Path) -> list[Path]:
    sources = read_sources(out)["sources"]
    return [source_folder(out, i) for i in range(len(sources))]
