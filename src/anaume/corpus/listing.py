"""A source's path → the files that it names, of the kinds that can be read.

A path names a file, a glob of files, a folder, or a folder that `save_to_disk` of the library datasets wrote. The rule:
a glob that matches a file of another kind is an error, while a folder may hold other files, which are logged.
"""

import json
import logging
from pathlib import Path
from typing import Any

from anaume.corpus import lines, storage
from anaume.corpus.source import Source
from anaume.corpus.storage import File
from anaume.errors import UserError

# Kinds of files, and the endings of packed files that each may have. A .json file is usually no corpus, but settings.
_PACKED = ("", ".gz", ".zst")
KINDS = {
    ".jsonl": _PACKED,
    ".ndjson": _PACKED,
    ".json": (".gz", ".zst"),
    ".txt": _PACKED,
    ".parquet": ("",),
    ".arrow": ("",),
}
EXPECTED = "a path, URL, folder or glob of .jsonl, .ndjson or .txt files (also .gz, .zst), .json.gz, .parquet or .arrow"

_OTHERS_SHOWN = 3

_log = logging.getLogger(__name__)


def kind_of(file: File) -> str:
    """Return a key of `KINDS`, or "" for a file of another kind."""
    name = file.base.lower()
    return next((kind for kind, packed in KINDS.items() if name.endswith(tuple(kind + end for end in packed))), "")


def is_one_document(source: Source, file: File) -> bool:
    """Return whether a file is a document of its own."""
    return kind_of(file) == ".txt" and source.documents == "files"


def is_splittable(source: Source, file: File) -> bool:
    """Return whether a large file can be read in pieces."""
    kind = kind_of(file)
    if kind == ".parquet":
        return True
    return (
        file.base.lower().endswith(kind)  # not packed
        and kind != ".arrow"
        and not is_one_document(source, file)
        and lines.is_splittable(source.encoding)
    )


def list_files(source: Source) -> list[File]:
    """Return the files of a source by name.

    Raises:
        UserError: The path names no file, a glob matches a file of another kind, or the data set lacks the split.
    """
    folder = Path(source.path).expanduser()
    is_folder = "://" not in source.path and folder.is_dir()
    if is_folder and (saved := _saved_data_set(folder, source.split)):
        return saved
    files = storage.files(source.path)
    readable = [file for file in files if kind_of(file)]
    others = [file for file in files if not kind_of(file)]
    if others and not (is_folder and readable):
        raise UserError(f"corpus {source}: matches {others[0]}, a file of another kind; expected {EXPECTED}")
    if not readable:
        raise UserError(f"corpus {source}: matches no file; expected {EXPECTED}")
    if others:
        names = ", ".join(storage.printable(file.below) for file in others[:_OTHERS_SHOWN])
        more = ", …" if len(others) > _OTHERS_SHOWN else ""
        _log.warning("%s: files of other kinds, left out: %d (%s%s)", source, len(others), names, more)
    return readable


def _saved_data_set(folder: Path, split: str) -> list[File]:
    """Return the files of a data set that `save_to_disk` wrote to a folder; an empty list for another folder.

    Raises:
        UserError: The folder holds several splits and not this one, or its files are damaged or missing.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = _value(folder / "dataset_dict.json", "splits")
        if split not in splits:
            raise UserError(f"{folder}: no split {split!r}; expected split = {' or '.join(map(repr, splits))}")
        folder /= split
    if not ((folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()):
        return []
    names = [entry["filename"] for entry in _value(folder / "state.json", "_data_files")]
    try:
        return [storage.local_file(folder / name, name) for name in names]
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; expected a file of the data set {folder}") from error


def _value(file: Path, key: str) -> list[Any]:
    try:
        value: list[Any] = json.loads(file.read_bytes())[key]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file}: not what `save_to_disk` writes ({error!r:.80})") from error
    return value
