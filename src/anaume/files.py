"""Files and folders that are complete or absent: each is written under a temporary name beside it, then renamed."""

import fcntl
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any


def sync(path: Path) -> None:
    """Flush a file or folder to disk, so that its content is there before a later rename."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """The SHA-256 checksum of a file in hexadecimal. The file is read in blocks, in constant memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cached_sha256(path: Path) -> str:
    """The `sha256` of a file, computed once per size and time of change: evaluations ask for the same files often."""
    status = path.stat()
    return _sha256_of(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _sha256_of(path: Path, _size: int, _modified_ns: int) -> str:
    return sha256(path)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) to `path`. A reader sees the old file or the new one, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON in UTF-8, without escapes for Japanese."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def path_lock(path: Path) -> Iterator[None]:
    """Hold a lock on `path` among processes, and wait for it first, so that two processes never make the same file.

    Each path locks one byte of the lock file of its folder; the operating system drops the lock when the process ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / ".lock").open("wb") as file:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.lockf(file, fcntl.LOCK_EX, 1, zlib.crc32(path.name.encode()))
        yield


@contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill, which becomes `path` when the block ends without an error.

    An earlier folder `path` is replaced by two renames. After an error the temporary folder is removed and `path` stays
    as it was. Temporary folders of processes that were killed are removed at the start.
    """
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        shutil.rmtree(stale, ignore_errors=True)
    temporary, aside = (path.with_name(f".{path.name}.{word}.tmp") for word in ("new", "old"))
    temporary.mkdir()
    try:
        yield temporary
        for file in temporary.rglob("*"):
            sync(file)
        sync(temporary)
        if path.exists():
            path.rename(aside)
        temporary.rename(path)
        sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)
