"""Files that are whole or absent: written beside their place under a temporary name, then renamed."""

import fcntl
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def sync(path: Path) -> None:
    """Flush a file or folder to the disk, so that a rename after it can't outlive its content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """The checksum of a file's content, in hexadecimal; the file is not held in memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) to `path`; a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    sync(temporary)
    temporary.replace(path)
    sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, atomically, Japanese readable."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def path_lock(path: Path) -> Iterator[None]:
    """Wait for other processes that make the same `path`.

    A path is a byte of its folder's lock file; the lock goes with the process, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / ".lock").open("wb") as file:
        with suppress(OSError):  # a file system that has no locks
            fcntl.lockf(file, fcntl.LOCK_EX, 1, zlib.crc32(path.name.encode()))
        yield


@contextmanager
def folder_atomic(path: Path) -> Iterator[Path]:
    """Give a temporary folder to fill; when the block ends without an error it becomes `path`.

    Replaces an earlier `path`, by two renames. On an error the temporary folder is removed and `path` stays as it was;
    what an earlier process left behind when it was killed is removed too.
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
