"""A build as data: what is to be made of which parts, in whichever process and on whichever machine.

    OUT/sources.json           what the folder was begun for: the sources and the vocabulary
    OUT/source-0/PART/         a shard for each part of the first source
    OUT/source-0/header.json   its store: the list of shards
    OUT/source-1/ …            one store a source, so that sources can be weighted later
    OUT/summary.json
    OUT/logs/                  of launches on a cluster

`begin` lists the tasks, somebody makes each of `todo` (see shard.py), `finish` writes the headers and the summary.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from anaume.corpus.readers import BAD_LINES_SHOWN, no_document_error, parts
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.tokenizer.load import Tokenizer
from anaume.tokens import sealed, store
from anaume.tokens.shard import ShardTask, identity, is_whole
from anaume.tokens.store import Header
from anaume.tokens.summary import Summary, summarize

SOURCES, SUMMARY = "sources.json", "summary.json"


@dataclass(frozen=True)
class Job:
    """`tasks` of each source; `todo`, those of them that are not whole yet, largest first; `begun`, seconds since 1970.

    It is pickled on its way to other machines.
    """

    out: Path
    sources: tuple[Source, ...]
    tasks: tuple[tuple[ShardTask, ...], ...]
    todo: tuple[ShardTask, ...]
    vocabulary_hash: str
    vocab_size: int
    begun: float


def begin(sources: Sequence[Source], tokenizer: Tokenizer, out: Path) -> Job:
    """Claim `out` for these sources, and see what is to be done there.

    Raises:
        UserError: a source doesn't exist, or `out` holds the tokens of other sources or of another tokenizer.
    """
    begun = time.time()
    for source in sources:
        _given_shards(source, tokenizer.vocabulary_hash)  # a mistake is told before hours of work
    tasks = tuple(
        tuple(ShardTask(part, source_folder(out, i) / part.name) for part in parts(source))
        for i, source in enumerate(sources)
    )
    _claim(out, sources, tokenizer.vocabulary_hash)
    todo = [task for of_source in tasks for task in of_source if not is_whole(task, tokenizer.vocabulary_hash)]
    # The largest first: a large one begun last would keep one worker busy while the others wait.
    todo.sort(key=lambda task: task.part.bytes, reverse=True)
    return Job(out, tuple(sources), tasks, tuple(todo), tokenizer.vocabulary_hash, tokenizer.vocab_size, begun)


def finish(job: Job) -> Summary:
    """Make one store of the shards of each source, and write the summary.

    Raises:
        UserError: a source holds no document, or a shard is missing.
    """
    for index, source in enumerate(job.sources):
        _write_source_header(job, index, source)
    stores = [store.open(source_folder(job.out, i), job.vocabulary_hash) for i in range(len(job.sources))]
    encoded = sum(store.read_header(task.folder).tokens for task in job.todo)
    summary = summarize(stores, time.time() - job.begun, encoded)
    sealed.write(job.out / SUMMARY, asdict(summary))
    return summary


def source_folder(out: Path, source: int) -> Path:
    """Where the store of a source is."""
    return out / f"source-{source}"


def _claim(out: Path, sources: Sequence[Source], vocabulary_hash: str) -> None:
    """Note in `out` what it is for, or refuse it if it holds something else."""
    wanted = {"vocabulary_hash": vocabulary_hash, "sources": [identity(source) for source in sources]}
    file = out / SOURCES
    if not file.exists():
        if (out / SUMMARY).exists():
            raise UserError(f"{out}: holds a {SUMMARY} of something else; accepted: a new folder")
        sealed.write(file, wanted)
        return
    found = read_sources(out)
    if not any(out.glob(f"source-*/*/{store.HEADER}")):
        sealed.write(file, wanted)
    elif found["vocabulary_hash"] != wanted["vocabulary_hash"]:
        raise UserError(f"{out}: holds tokens of another tokenizer; accepted: a new folder, or the same one")
    elif found["sources"] != wanted["sources"]:
        raise UserError(f"{out}: holds tokens of other sources; accepted: a new folder, or those of {file}")


def read_sources(out: Path) -> dict[str, Any]:
    """What `begin` noted in `out`.

    Raises:
        UserError: nothing, or somebody else something.
    """
    file = out / SOURCES
    if not file.exists():
        raise UserError(f"{out}: no tokens; accepted: a folder that `anaume tokens` wrote")
    try:
        found = sealed.read(file)
    except ValueError as error:
        raise UserError(f"{file}: not what `anaume tokens` writes ({error})") from error
    if not {"vocabulary_hash", "sources"} <= found.keys():
        raise UserError(f"{file}: not what `anaume tokens` writes (no vocabulary_hash and sources)")
    return found


def _write_source_header(job: Job, index: int, source: Source) -> None:
    """Make the shards of a source one store."""
    own = [task.folder for task in job.tasks[index]]
    given = _given_shards(source, job.vocabulary_hash)
    shards = [store.read_header(folder) for folder in (*own, *given)]
    documents = sum(shard.documents for shard in shards)
    if not documents:
        raise no_document_error(source)
    details = {
        name: sum(shard.details.get(name, 0) for shard in shards)
        for name in ("characters", "bad_lines", "empty_documents")
    }
    first_bad = [line for shard in shards for line in shard.details.get("first_bad", ())][:BAD_LINES_SHOWN]
    header = Header(
        vocabulary_hash=job.vocabulary_hash,
        vocab_size=job.vocab_size,
        documents=documents,
        tokens=sum(shard.tokens for shard in shards),
        details={"source": str(source), **details, "first_bad": first_bad},
        shards=(*(folder.name for folder in own), *map(str, given)),
    )
    store.write_header(source_folder(job.out, index), header)


def _given_shards(source: Source, vocabulary_hash: str) -> tuple[Path, ...]:
    """The shards that a source names as tokens: they are used where they are, by their full paths."""
    if not source.tokens:
        return ()
    folder = Path(source.tokens).expanduser().resolve()
    if (folder / SOURCES).exists():
        count = len(read_sources(folder)["sources"])
        if count != 1:
            names = ", ".join(source_folder(folder, i).name for i in range(count))
            raise UserError(f"{folder}: holds {count} sources; accepted: one of its folders {names}")
        folder = source_folder(folder, 0)
    return store.open(folder, vocabulary_hash).shards
