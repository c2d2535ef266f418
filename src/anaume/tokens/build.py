"""Sources → token stores, and a summary of what is in them.

    OUT/sources.json           what the folder was begun for: the sources and the vocabulary
    OUT/source-0/PART/         a shard for each part of the first source (a part: an input file)
    OUT/source-0/header.json   its store: the list of shards
    OUT/source-1/ …            one store a source, so that sources can be weighted later
    OUT/summary.json

A part is an idempotent task: it is written whole or not at all, and one that is there already, from the same
bytes (name, size, time of change) and the same vocabulary, is not made again.
"""

import json
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anaume.corpus.readers import Part, empty, parts
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.files import write_json
from anaume.tokens import store
from anaume.tokens.progress import Show, progress_bar
from anaume.tokens.shard import encode_part, identity, is_whole
from anaume.tokens.store import Header, Store
from anaume.tokens.summary import Summary, summarize
from anaume.tokens.tokenizer import Tokenizer, load

SOURCES, SUMMARY = "sources.json", "summary.json"


@dataclass(frozen=True)
class _Task:
    part: Part
    folder: Path


def build(sources: Sequence[Source], tokenizer: Tokenizer, out: Path, *, workers: int = 1) -> Summary:
    """Write one token store a source under `out`, with `workers` processes, a part at a time each.

    Raises:
        UserError: a source can't be read or holds no document (see `corpus.readers`), or `out` holds the
            tokens of other sources or of another tokenizer.
    """
    begun = time.monotonic()
    tasks = [[_Task(part, _folder(out, i) / part.name) for part in parts(s)] for i, s in enumerate(sources)]
    _claim(out, sources, tokenizer)
    todo = [task for of_source in tasks for task in of_source if not is_whole(task.part, tokenizer, task.folder)]
    _run(todo, tokenizer, workers)
    for index, (source, of_source) in enumerate(zip(sources, tasks, strict=True)):
        _write_source_header(_folder(out, index), source, of_source, tokenizer)
    encoded = sum(store.read_header(task.folder).tokens for task in todo)
    summary = summarize(open_stores(out, tokenizer), time.monotonic() - begun, encoded)
    write_json(out / SUMMARY, asdict(summary))
    return summary


def open_stores(out: Path, tokenizer: Tokenizer) -> list[Store]:
    """The stores that `build` wrote to `out`, in the order of its sources.

    Raises:
        UserError: there are none, they are not whole, or they were made with another tokenizer.
    """
    file = out / SOURCES
    if not file.exists():
        raise UserError(f"{out}: no tokens; accepted: a folder that `anaume tokens` wrote")
    sources = json.loads(file.read_text("utf-8"))["sources"]
    return [store.open(_folder(out, i), tokenizer.vocabulary_hash) for i in range(len(sources))]


def verify(folder: Path, vocabulary_hash: str | None = None) -> list[str]:
    """What is wrong with a folder that `build` wrote, or with a single store: see `store.verify`."""
    if not (folder / SOURCES).exists():
        return store.verify(folder, vocabulary_hash)
    begun_for = json.loads((folder / SOURCES).read_text("utf-8"))
    expected = vocabulary_hash or begun_for["vocabulary_hash"]
    stores = [_folder(folder, i) for i in range(len(begun_for["sources"]))]
    return [problem for one in stores for problem in store.verify(one, expected)]


def _folder(out: Path, source: int) -> Path:
    return out / f"source-{source}"


def _claim(out: Path, sources: Sequence[Source], tokenizer: Tokenizer) -> None:
    """Note in `out` what it is for, or refuse it if it holds tokens of something else."""
    wanted = {
        "vocabulary_hash": tokenizer.vocabulary_hash,
        "sources": [identity(source) for source in sources],
    }
    file = out / SOURCES
    if not file.exists() or not any(out.glob(f"source-*/*/{store.HEADER}")):
        write_json(file, wanted)
        return
    found = json.loads(file.read_text("utf-8"))
    if found["vocabulary_hash"] != wanted["vocabulary_hash"]:
        raise UserError(f"{out}: holds tokens of another tokenizer; accepted: a new folder, or the same one")
    if found["sources"] != wanted["sources"]:
        raise UserError(f"{out}: holds tokens of other sources; accepted: a new folder, or those of {file}")


def _run(tasks: Sequence[_Task], tokenizer: Tokenizer, workers: int) -> None:
    if not tasks:
        return
    total = sum(_size(task) for task in tasks)
    with progress_bar(total) as show:
        if workers > 1 and len(tasks) > 1:
            _run_in_processes(sorted(tasks, key=_size, reverse=True), tokenizer, workers, show)
            return
        behind = [0, 0]

        def add(read_bytes: int, tokens: int) -> None:
            behind[0] += read_bytes
            behind[1] += tokens
            show(*behind)

        for task in tasks:
            encode_part(task.part, tokenizer, task.folder, add)


def _size(task: _Task) -> int:
    return sum(file.stat().st_size for file in task.part.files)


def _run_in_processes(tasks: Sequence[_Task], tokenizer: Tokenizer, workers: int, show: Show) -> None:
    """Side by side, each process a part at a time. New processes, not forks: the bar has a thread."""
    context = multiprocessing.get_context("spawn")
    counters = context.Value("q", 0), context.Value("q", 0)
    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, _start_worker, (tokenizer.folder, *counters))
    with pool:
        pending = {pool.submit(_encode_in_worker, task) for task in tasks}
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_EXCEPTION)
            show(counters[0].value, counters[1].value)
            failed = [future for future in done if future.exception()]
            if failed:
                pool.shutdown(wait=True, cancel_futures=True)
                failed[0].result()


_worker: tuple[Tokenizer, Show]  # of this process, if it is one of the pool's


def _start_worker(folder: Path, read_bytes: Any, tokens: Any) -> None:
    global _worker  # the pool gives its processes no other place for it

    def add(more_bytes: int, more_tokens: int) -> None:
        for counter, more in ((read_bytes, more_bytes), (tokens, more_tokens)):
            with counter.get_lock():
                counter.value += more

    _worker = load(folder), add


def _encode_in_worker(task: _Task) -> None:
    tokenizer, add = _worker
    encode_part(task.part, tokenizer, task.folder, add)


def _write_source_header(folder: Path, source: Source, tasks: Sequence[_Task], tokenizer: Tokenizer) -> None:
    """Make the shards of a source one store."""
    shards = [store.read_header(task.folder) for task in tasks]
    documents = sum(shard.documents for shard in shards)
    if not documents:
        raise empty(source)
    details = {
        name: sum(shard.details[name] for shard in shards) for name in ("characters", "bad_lines", "empty_documents")
    }
    header = Header(
        vocabulary_hash=tokenizer.vocabulary_hash,
        vocab_size=tokenizer.vocab_size,
        documents=documents,
        tokens=sum(shard.tokens for shard in shards),
        details={"source": str(source), **details},
        shards=tuple(task.folder.name for task in tasks),
    )
    store.write_header(folder, header)
