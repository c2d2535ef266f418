"""One part of a corpus → one shard of the store: the idempotent task that a build consists of."""

import glob
import shutil
from itertools import islice
from pathlib import Path
from typing import Any

from anaume import __version__
from anaume.corpus.readers import Part, Reading, read
from anaume.corpus.source import Source
from anaume.errors import UserError
from anaume.tokens import store
from anaume.tokens.progress import Show
from anaume.tokens.tokenizer import Tokenizer

_BATCH = 64  # documents encoded at a time


def encode_part(part: Part, tokenizer: Tokenizer, folder: Path, add: Show) -> None:
    """Write the shard of one part to `folder`, telling `add` of bytes read and tokens made on the way.

    Raises:
        UserError: the part can't be read.
    """
    for stale in folder.parent.glob(f".{glob.escape(folder.name)}.*.tmp"):  # of a run that was killed
        shutil.rmtree(stale)
    made_of = _made_of(part)  # before reading: a file that changes meanwhile is done again next time
    reading = Reading()
    characters = without_ids = 0
    with store.writing(folder, tokenizer.vocab_size, tokenizer.vocabulary_hash) as writer:
        documents = read(part, reading)
        seen_bytes = seen_tokens = 0
        while texts := [document.text for document in islice(documents, _BATCH)]:
            for text, ids in zip(texts, tokenizer.encode(texts), strict=True):
                if len(ids):
                    writer.add(ids)
                    characters += len(text)
                else:  # some tokenizers drop control characters, and these texts have nothing else
                    without_ids += 1
            add(reading.bytes - seen_bytes, writer.tokens - seen_tokens)
            seen_bytes, seen_tokens = reading.bytes, writer.tokens
        add(reading.bytes - seen_bytes, 0)
        writer.details = {
            "made_of": made_of,
            "characters": characters,
            "bad_lines": reading.bad_lines,
            "empty_documents": reading.empty_documents + without_ids,
        }


def is_whole(part: Part, tokenizer: Tokenizer, folder: Path) -> bool:
    """Whether `folder` is the shard of `part` as it is now (name, size and time of change of its files)."""
    try:
        store.open(folder, tokenizer.vocabulary_hash)
    except UserError:  # absent, or cut off by something after it was written
        return False
    return bool(store.read_header(folder).details.get("made_of") == _made_of(part))


def identity(source: Source) -> dict[str, Any]:
    """What of a source decides which documents it gives; the built-in corpus also changes with our version."""
    identity = source.model_dump(exclude={"weight", "bad_lines"}, exclude_defaults=True)
    return identity | ({"version": __version__} if source.builtin else {})


def _made_of(part: Part) -> dict[str, Any]:
    stats = [(str(file), file.stat()) for file in part.files]
    return {
        "source": identity(part.source),
        "files": [[Path(name).name, stat.st_size, stat.st_mtime_ns] for name, stat in stats],
    }
