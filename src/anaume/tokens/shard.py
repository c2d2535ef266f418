"""One part of a corpus → one shard of the store: the idempotent task that a build consists of.

Whoever runs it (this process, a worker, Slurm, Ray) calls `make`: it writes the shard whole or not at all, and does
nothing where the shard is there already, from the same bytes (name, size, version) and the same vocabulary.
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
from anaume.files import path_lock
from anaume.tokenizer.load import Tokenizer
from anaume.tokens import store

# What is encoded at a time: documents, and characters past which no further one is added.
_DOCUMENTS, _CHARACTERS = 64, 1 << 18


@dataclass(frozen=True)
class ShardTask:
    """A part and the folder of its shard."""

    part: Part
    folder: Path


def make(task: ShardTask, tokenizer: Tokenizer, add: Callable[[int, int], None]) -> None:
    """Write the shard of a task, telling `add` of bytes read and tokens made on the way.

    Raises:
        UserError: the part can't be read.
    """
    with path_lock(task.folder):
        if is_whole(task, tokenizer.vocabulary_hash):
            add(task.part.bytes, 0)
        else:
            _encode(task, tokenizer, add)


def is_whole(task: ShardTask, vocabulary_hash: str) -> bool:
    """Whether the task's folder is the shard of its part as it is now."""
    try:
        store.open(task.folder, vocabulary_hash)
    except UserError:  # absent, or cut off by something after it was written
        return False
    return bool(store.read_header(task.folder).details.get("made_of") == _made_of(task.part))


def identity(source: Source) -> dict[str, Any]:
    """What of a source decides which documents it gives; the built-in corpus also changes with our version."""
    identity = source.model_dump(exclude={"weight", "bad_lines"}, exclude_defaults=True)
    return identity | ({"version": __version__} if source.builtin else {})


def _encode(task: ShardTask, tokenizer: Tokenizer, add: Callable[[int, int], None]) -> None:
    reading = Reading()
    characters = without_ids = seen_bytes = seen_tokens = 0
    with store.writing(task.folder, tokenizer.vocab_size, tokenizer.vocabulary_hash) as writer:
        for texts in in_batches(read(task.part, reading)):
            # Some tokenizers drop control characters, and some texts have nothing else.
            found = [(text, ids) for text, ids in zip(texts, tokenizer.encode(texts), strict=True) if len(ids)]
            if found:
                writer.extend([ids for _, ids in found])
            characters += sum(len(text) for text, _ in found)
            without_ids += len(texts) - len(found)
            add(reading.bytes - seen_bytes, writer.tokens - seen_tokens)
            seen_bytes, seen_tokens = reading.bytes, writer.tokens
        add(reading.bytes - seen_bytes, 0)
        writer.details = {
            "made_of": _made_of(task.part),
            "characters": characters,
            "bad_lines": reading.bad_lines,
            "first_bad": reading.first_bad,
            "empty_documents": reading.empty_documents + without_ids,
        }


def in_batches(documents: Iterable[Document]) -> Iterator[list[str]]:
    """Texts to be encoded at a time, so that long documents don't add up in memory."""
    batch: list[str] = []
    characters = 0
    for document in documents:
        batch.append(document.text)
        characters += len(document.text)
        if len(batch) == _DOCUMENTS or characters >= _CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _made_of(part: Part) -> dict[str, Any]:
    """The source and the files as they were when listed: a file that has changed since is done again next time."""
    return {
        "source": identity(part.source),
        "files": [[f.base, f.size, f.version, *([] if f.is_whole else [f.begin, f.end])] for f in part.files],
    }
