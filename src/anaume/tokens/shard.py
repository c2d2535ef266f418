"""One part of a corpus → one shard of a token store: the task that a build repeats for every part.

Each runner (this process, a worker process, Slurm, Ray) calls `make_shard`. A shard is written whole or not at all, and
is kept if it was made from the same files (name, size, version) with the same vocabulary.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anaume import __version__
from anaume.corpus.document import Document
from anaume.corpus.readers import Part, Reading, read
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.files import path_lock, sealed
from anaume.tokenizer.load import Tokenizer
from anaume.tokens import store

# A batch of texts ends at this many documents or, to bound memory, with the document that reaches this many characters.
_BATCH_DOCUMENTS, _BATCH_CHARACTERS = 64, 1 << 18


@dataclass(frozen=True)
class ShardTask:
    """A part of a corpus and the folder of the shard that is made from it."""

    part: Part
    folder: Path


def make_shard(task: ShardTask, tokenizer: Tokenizer, add_progress: Callable[[int, int], None]) -> None:
    """Write the shard of a task, unless it is whole already.

    `add_progress` is called after each batch of texts with the bytes read and the tokens made since the last call.

    Raises:
        UserError: the part can't be read.
    """
    with path_lock(task.folder):
        if is_whole(task, tokenizer.vocabulary_hash):
            add_progress(task.part.bytes, 0)
        else:
            _write_shard(task, tokenizer, add_progress)


def is_whole(task: ShardTask, vocabulary_hash: str) -> bool:
    """Whether the task's folder holds a whole shard, made from the present files of its part."""
    try:
        store.open(task.folder, vocabulary_hash)
    except UserError:  # the shard is absent, or its files were cut off after they were written
        return False
    if not sealed.is_unchanged(task.folder / store.HEADER):  # a changed key would be missed in the summary
        return False
    return bool(store.read_header(task.folder).details.get("made_of") == _part_record(task.part))


def identity(source: Source) -> dict[str, Any]:
    """Fields of a source that determine its documents, with the package's version for the built-in corpus."""
    identity = source.published().model_dump(exclude={"weight", "bad_lines", "name"}, exclude_defaults=True)
    return identity | ({"version": __version__} if source.builtin else {})


def _write_shard(task: ShardTask, tokenizer: Tokenizer, add_progress: Callable[[int, int], None]) -> None:
    reading = Reading()
    characters = unknown = without_ids = reported_bytes = reported_tokens = 0
    with store.writing(task.folder, tokenizer.vocab_size, tokenizer.vocabulary_hash) as writer:
        for texts in batch_texts(read(task.part, reading)):
            # A text of control characters alone gives no ids with tokenizers that drop them.
            encoded = [(text, ids) for text, ids in zip(texts, tokenizer.encode(texts), strict=True) if len(ids)]
            if encoded:
                writer.extend([ids for _, ids in encoded])
            characters += sum(len(text) for text, _ in encoded)
            unknown += sum(tokenizer.count_unknown(ids) for _, ids in encoded)
            without_ids += len(texts) - len(encoded)
            add_progress(reading.bytes - reported_bytes, writer.tokens - reported_tokens)
            reported_bytes, reported_tokens = reading.bytes, writer.tokens
        add_progress(reading.bytes - reported_bytes, 0)
        writer.details = {
            "made_of": _part_record(task.part),
            "characters": characters,
            "unknown_tokens": unknown,
            "bad_lines": reading.bad_lines,
            "first_bad": reading.first_bad,
            "empty_documents": reading.empty_documents + without_ids,
        }


def batch_texts(documents: Iterable[Document]) -> Iterator[list[str]]:
    """Group the texts of documents into batches of bounded memory, in order."""
    batch: list[str] = []
    characters = 0
    for document in documents:
        batch.append(document.text)
        characters += len(document.text)
        if len(batch) == _BATCH_DOCUMENTS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _part_record(part: Part) -> dict[str, Any]:
    """The source and the listed files (name, size, version, range) of a part; a shard is remade when it differs."""
    return {
        "source": identity(part.source),
        "files": [
            [file.base, file.size, file.version, *([] if file.is_whole else [file.begin, file.end])]
            for file in part.files
        ],
    }
