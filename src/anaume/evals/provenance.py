"""What a record's numbers are of: weights, files and texts as checksums, which are equal where the numbers must be."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from anaume.corpus import storage
from anaume.corpus.readers import parse_source, parts
from anaume.errors import UserError
from anaume.files import sha256
from anaume.tokens.shard import identity
from anaume.tokens.store import Store

OWN_TEXTS = "the run's validation corpus"


def data_settings(path: Path | None) -> dict[str, str]:
    """Which data file: its name and content; {} for data made in memory.

    Raises:
        UserError: no such file.
    """
    if path is None:
        return {}
    if not path.is_file():
        raise UserError(f"{path}: no such file, expected JSON lines")
    return {"data": path.name, "sha256": sha256(path)}


def texts_settings(pattern: str) -> dict[str, str]:
    """Which texts: how the user named them and what is in their files; far away, the files' sizes and versions.

    Raises:
        UserError: they can't be listed, or there are none.
    """
    source = parse_source(pattern)
    files = {file.name: file for part in parts(source) for file in part.files}  # a large one comes in several
    told = [json.dumps(identity(source)), *(f"{file.below} {storage.fingerprint(file)}" for file in files.values())]
    return {"texts": pattern, "texts_sha256": _checksum(told)}


def stores_settings(stores: Sequence[Store]) -> dict[str, str]:
    """The same of texts that are tokens already: a run's validation corpus."""
    return {"texts": OWN_TEXTS, "texts_sha256": _checksum(store.checksum for store in stores)}


def _checksum(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
