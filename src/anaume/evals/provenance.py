"""Provenance of a record's numbers: the data files and the texts, as names and checksums.

The rule: equal settings mean equal content, so two records with equal settings, weights and seed hold equal numbers.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from anaume.corpus import storage
from anaume.corpus.readers import documents, parse_source, parts
from anaume.errors import UserError, redact
from anaume.files import cached_sha256
from anaume.run import Run
from anaume.tokenizer.load import load_tokenizer
from anaume.tokens.build import open_stores
from anaume.tokens.shard import identity
from anaume.tokens.store import Store

OWN_TEXTS = "the run's validation corpus"


def data_settings(path: Path | None) -> dict[str, str]:
    """Return the name and the SHA-256 of a data file; {} for data made in memory.

    Raises:
        UserError: no such file.
    """
    if path is None:
        return {}
    if not path.is_file():
        raise UserError(f"{path}: no such file; expected JSON lines")
    return {"data": path.name, "sha256": cached_sha256(path)}


def files_settings(name: str, files: Sequence[Path]) -> dict[str, Any]:
    """Return the name of a data set of several files, the SHA-256 of each, and a checksum of all.

    Raises:
        UserError: one of the files does not exist.
    """
    if missing := next((file for file in files if not file.is_file()), None):
        raise UserError(f"{missing}: no such file; expected it for {name}")
    checksums = {file.name: cached_sha256(file) for file in files}
    return {"data": name, "files": checksums, "sha256": _checksum(f"{k} {v}" for k, v in checksums.items())}


def texts_settings(pattern: str) -> dict[str, str]:
    """Return the texts' pattern, as the user wrote it, and a checksum of their files.

    The checksum covers the content of local files, and the size and version of remote ones.

    Raises:
        UserError: the files can't be listed, or there are none.
    """
    source = parse_source(pattern)
    files = {file.name: file for part in parts(source) for file in part.files}  # a large file is in several parts
    lines = [json.dumps(identity(source)), *(f"{file.below} {storage.fingerprint(file)}" for file in files.values())]
    return {"texts": redact(pattern), "texts_sha256": _checksum(lines)}


def stores_settings(stores: Sequence[Store]) -> dict[str, str]:
    """Return the name and a checksum of texts that are in token stores: a run's validation corpus."""
    return {"texts": OWN_TEXTS, "texts_sha256": _checksum(store.checksum for store in stores)}


def _checksum(lines: Iterable[str]) -> str:
    # A file's name need not be UTF-8.
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode(errors="surrogateescape")).hexdigest()


def corpus_settings(pattern: str, run: Run | None) -> dict[str, str]:
    """Provenance of the texts that a user names, or of a run's own validation corpus if none are named.

    Raises:
        UserError: see `texts_settings`.
    """
    if pattern or run is None:
        return texts_settings(pattern)
    return stores_settings(open_stores(run.tokens("validation"), load_tokenizer(run.tokenizer)))


def texts_of(pattern: str) -> Iterator[str]:
    """Yield the texts of the documents that a user names."""
    return (document.text for document in documents(parse_source(pattern)))
