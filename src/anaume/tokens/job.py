"""Sources → shard tasks → stores: the start and the end of a build, whatever runs the tasks in between.

    OUT/sources.json           the sources and the vocabulary that the folder belongs to
    OUT/source-0/PART/         one shard for each part of the first source
    OUT/source-0/header.json   the store of the first source: the list of its shards
    OUT/source-1/ …            one store per source, so that sources can be weighted later
    OUT/summary.json           counts and document lengths
    OUT/logs/                  logs of launches on a cluster

`begin` lists the tasks, a runner makes the shard of each task in `todo` (see shard.py), and `finish` writes the stores'
headers and the summary. A folder that holds other tokens is never written over.
"""

import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anaume.corpus.readers import BAD_LINES_SHOWN, no_document_error, parts
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.files import remove_leftovers, sealed
from anaume.tokenizer.load import Tokenizer
from anaume.tokens import store
from anaume.tokens.shard import ShardTask, identity, is_whole
from anaume.tokens.store import Header
from anaume.tokens.summary import Summary, summarize

SOURCES, SUMMARY = "sources.json", "summary.json"


@dataclass(frozen=True)
class TokenJob:
    """A build: where the stores go, and the tasks that make their shards. It is pickled on its way to other machines.

    `tasks` are those of each source; `todo` are the tasks without a whole shard, the largest part first; `start_time`
    is in seconds since 1970.
    """

    out: Path
    sources: tuple[Source, ...]
    tasks: tuple[tuple[ShardTask, ...], ...]
    todo: tuple[ShardTask, ...]
    vocabulary_hash: str
    vocab_size: int
    start_time: float


def begin(sources: Sequence[Source], tokenizer: Tokenizer, out: Path) -> TokenJob:
    """Claim `out` for these sources and list the tasks whose shards it lacks.

    Raises:
        UserError: a source doesn't exist, or `out` holds the tokens of other sources or of another tokenizer.
    """
    start_time = time.time()
    for source in sources:
        _existing_shards(source, tokenizer.vocabulary_hash)  # raises its errors before hours of work
    tasks = tuple(
        tuple(ShardTask(part, store_folder(out, index) / part.name) for part in parts(source))
        for index, source in enumerate(sources)
    )
    _claim(out, sources, tokenizer.vocabulary_hash)
    all_tasks = itertools.chain.from_iterable(tasks)
    todo = [task for task in all_tasks if not is_whole(task, tokenizer.vocabulary_hash)]
    # A large part begun last would keep one worker busy while the others wait.
    todo.sort(key=lambda task: task.part.bytes, reverse=True)
    return TokenJob(
        out, tuple(sources), tasks, tuple(todo), tokenizer.vocabulary_hash, tokenizer.vocab_size, start_time
    )


def finish(job: TokenJob) -> Summary:
    """Join the shards of each source into one store, and write the summary.

    Raises:
        UserError: a source holds no document, or a shard is missing.
    """
    remove_leftovers(job.out)
    for index, source in enumerate(job.sources):
        remove_leftovers(store_folder(job.out, index))
        _write_store_header(job, index, source)
    stores = [store.open(store_folder(job.out, index), job.vocabulary_hash) for index in range(len(job.sources))]
    encoded = sum(store.read_header(task.folder).tokens for task in job.todo)
    summary = summarize(stores, time.time() - job.start_time, encoded)
    sealed.write(job.out / SUMMARY, asdict(summary))
    return summary


def store_folder(out: Path, index: int) -> Path:
    """Folder of the store of the source at `index`."""
    return out / f"source-{index}"


def _claim(out: Path, sources: Sequence[Source], vocabulary_hash: str) -> None:
    """Record in `out` which sources and vocabulary it belongs to, or refuse it if it holds other tokens."""
    record = {"vocabulary_hash": vocabulary_hash, "sources": [identity(source) for source in sources]}
    file = out / SOURCES
    if not file.exists():
        foreign = [name for name in (SUMMARY, store_folder(out, 0).name) if (out / name).exists()]
        if foreign:
            raise UserError(f"{out}: holds a {foreign[0]} of something else; expected a new folder")
        sealed.write(file, record)
        return
    earlier = read_sources(out)
    if not any(out.glob(f"source-*/*/{store.HEADER}")):
        sealed.write(file, record)
    elif earlier["vocabulary_hash"] != record["vocabulary_hash"]:
        raise UserError(f"{out}: holds tokens of another tokenizer; expected a new folder, or the same tokenizer")
    elif earlier["sources"] != record["sources"]:
        raise UserError(f"{out}: holds tokens of other sources; expected a new folder, or the sources of {file}")


def read_sources(out: Path) -> dict[str, Any]:
    """Read the record that `begin` wrote to `out`: its `sources` and its `vocabulary_hash`.

    Raises:
        UserError: the record is absent, or the file is not one that `begin` wrote.
    """
    file = out / SOURCES
    if not file.exists():
        raise UserError(f"{out}: no tokens; expected a folder that `anaume tokens` wrote")
    try:
        record = sealed.read(file)
    except ValueError as error:
        raise UserError(f"{file}: not what `anaume tokens` writes ({error})") from error
    if not {"vocabulary_hash", "sources"} <= record.keys():
        raise UserError(f"{file}: not what `anaume tokens` writes (no vocabulary_hash and sources)")
    return record


def _write_store_header(job: TokenJob, index: int, source: Source) -> None:
    """Write the header that joins the shards of a source into one store."""
    own = [task.folder for task in job.tasks[index]]
    existing = _existing_shards(source, job.vocabulary_hash)
    shards = [store.read_header(folder) for folder in (*own, *existing)]
    documents = sum(shard.documents for shard in shards)
    if not documents:
        raise no_document_error(source)
    details = {
        name: sum(shard.details.get(name, 0) for shard in shards)
        for name in ("characters", "unknown_tokens", "bad_lines", "empty_documents")
    }
    first_bad = [line for shard in shards for line in shard.details.get("first_bad", ())][:BAD_LINES_SHOWN]
    header = Header(
        vocabulary_hash=job.vocabulary_hash,
        vocab_size=job.vocab_size,
        documents=documents,
        tokens=sum(shard.tokens for shard in shards),
        details={"source": str(source), **details, "first_bad": first_bad},
        shards=(*(folder.name for folder in own), *map(str, existing)),
    )
    store.write_header(store_folder(job.out, index), header)


def _existing_shards(source: Source, vocabulary_hash: str) -> tuple[Path, ...]:
    """Full paths of the shards of a source that names a folder of tokens; they are used in place, not copied."""
    if not source.tokens:
        return ()
    folder = Path(source.tokens).expanduser().resolve()
    if (folder / SOURCES).exists():
        count = len(read_sources(folder)["sources"])
        if count != 1:
            names = ", ".join(store_folder(folder, index).name for index in range(count))
            raise UserError(f"{folder}: holds {count} sources; expected one of its folders {names}")
        folder = store_folder(folder, 0)
    return store.open(folder, vocabulary_hash).shards
