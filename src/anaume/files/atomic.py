"""Files and folders that are complete or absent: each is written under a temporary name beside it, then renamed.

Whoever writes a path holds its lock, so that two processes write it one after the other.
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from anaume.files.locks import LockedError, path_lock
from anaume.files.names import served_name, temporary_sibling, temporary_siblings

# Error numbers of a full disk and of an exhausted quota.
FULL = (errno.ENOSPC, errno.EDQUOT)
# Error numbers of a write that fails after the file was opened. The operating system names no file then.
DISK_ERRORS = (*FULL, errno.EFBIG, errno.EIO)


def sync(path: Path) -> None:
    """Flush a file or folder to disk, so that its content is there before a later rename."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8) to `path`. A reader sees the old file or the new one, never a part of it.

    Half a surrogate pair becomes an escape: Python reads a byte of a file's name that is not UTF-8 as such a half.
    """
    with file_atomic(path) as temporary:
        temporary.write_bytes(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    """Write `value` to `path` atomically as indented JSON in UTF-8, with escapes for half surrogate pairs only."""
    write_atomic(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


@contextmanager
def file_atomic(path: Path) -> Iterator[Path]:
    """Yield the name of a temporary file to write, which becomes `path` when the block ends without an error.

    After an error the temporary file is removed and `path` stays as it was.
    """
    with _replacing(path) as (path, temporary):
        yield temporary
        sync(temporary)
        temporary.replace(path)


@contextmanager
def folder_atomic(path: Path, keep: Callable[[Path], Iterable[Path]] = lambda _: ()) -> Iterator[Path]:
    """Yield a temporary folder to fill, which becomes `path` when the block ends without an error.

    An earlier folder `path` is replaced by two renames; `keep(temporary)` lists its files (relative paths) that the new
    folder keeps. After an error `path` stays as it was. The files get the access rights that the umask gives, even
    those of libraries that write for their owner alone.
    """
    with _replacing(path) as (path, temporary):
        temporary.mkdir()
        yield temporary
        readable = temporary.stat().st_mode & 0o666
        for file in [path for path in temporary.rglob("*") if not path.is_symlink()]:
            mode = file.stat().st_mode
            if mode | readable != mode:
                file.chmod(mode | readable)
            sync(file)
        for kept in keep(temporary):
            _link(path / kept, temporary / kept)
        sync(temporary)
        if not path.exists():
            temporary.rename(path)
            return
        aside = temporary_sibling(path, "old")
        path.rename(aside)
        try:
            temporary.rename(path)
        except BaseException:
            aside.rename(path)
            raise
        remove(aside)


@contextmanager
def _replacing(path: Path) -> Iterator[tuple[Path, Path]]:
    """Hold the lock of `path`, and yield its full name and a temporary name beside it."""
    path = path.resolve()
    with path_lock(path), _named_errors(path):
        _restore_or_remove(path)
        temporary = temporary_sibling(path, "new")
        try:
            yield path, temporary
            sync(path.parent)
        finally:
            remove(temporary)


def _link(source: Path, target: Path) -> None:
    """Make a file appear a second time; it is copied where the file system has no hard links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir() and not source.is_symlink():
        target.mkdir(exist_ok=True)
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as possible; an absent one is no error."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def remove_folder(path: Path) -> None:
    """Remove a folder that must not be seen half removed. A kill leaves it under a hidden name."""
    aside = temporary_sibling(path, "gone")
    path.rename(aside)
    shutil.rmtree(aside)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left in `folder` under hidden names. What is locked belongs to a living process."""
    if folder.is_dir():
        for name in {served_name(entry.name) for entry in folder.iterdir()} - {""}:
            with suppress(LockedError), path_lock(folder / name, wait="never"):
                _restore_or_remove(folder / name)


def _restore_or_remove(path: Path) -> None:
    """Remove what killed processes left under temporary names of `path`, whose lock this process holds.

    If the kill came between the two renames of `folder_atomic`, the earlier folder gets its name back.
    """
    for stale in temporary_siblings(path):
        if stale.suffix == ".old" and not path.exists():
            stale.rename(path)
        else:
            remove(stale)


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Name `path` in the errors of a disk that name no file.

    Libraries written in Rust (safetensors, tokenizers) raise errors of their own with the number of an OSError in the
    text; they are raised as that OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in DISK_ERRORS and error.filename is None:
            error.filename = str(path)
        raise
    except Exception as error:
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number and int(number[1]) in DISK_ERRORS:
            raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error
        raise
