"""A path, a URL, a folder or a glob → the files that it names; a file → its bytes, local or remote.

Local paths are read by Python, URLs (s3://, gs://, hf://, https://, memory://, …) by fsspec. Every failure of a remote
file system becomes a UserError in `files` and an OSError in reading, as a failure of a local disk does. The rule: a
file that is cut off, or another than the one that was listed, raises an error at the end of reading at the latest.
"""

import glob
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from anaume.errors import UserError, redact
from anaume.files import cached_sha256

PIECE = 256 << 20  # bytes; a larger file is read in pieces of at most this size

_BUFFER = 1 << 20  # bytes of a remote file read at a time
# The names that file systems give to an etag, a hash of the content or the time of the last change.
_VERSION_KEYS = (
    *("ETag", "etag", "md5Hash", "blob_id"),
    *("mtime", "LastModified", "Last-Modified", "last_modified", "updated", "created"),
)
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class File:
    """A file, or the lines or row groups that begin in a range of bytes of a large file.

    `name`     path or URL
    `below`    path relative to the last folder of the glob before its first wildcard
    `size`     bytes of the whole file when it was listed; 0 if the server does not say
    `version`  changes with the content: modification time in ns, or the remote file system's version ("" for none)
    `begin`    first byte of the range
    `end`      first byte after the range
    """

    name: str
    below: str
    size: int
    version: int | str
    begin: int
    end: int

    def __str__(self) -> str:
        return printable(redact(self.name))

    @property
    def base(self) -> str:
        """The last component of the name, without a URL's query."""
        return PurePosixPath(re.sub(r"[?#].*", "", self.name) if _is_remote(self.name) else self.name).name

    @property
    def is_whole(self) -> bool:
        """Whether the range covers the whole file."""
        return self.begin == 0 and self.end == self.size


def files(pattern: str) -> list[File]:
    """Return the files that a path, URL or glob names, sorted by name, or the files below the folder that it names.

    Of a local folder, the files and folders whose names begin with a dot are left out. A glob gives no folders.

    Raises:
        UserError: The file system cannot be reached, or the package for its protocol is not installed.
    """
    try:
        pattern, listings = _remote_files(pattern) if _is_remote(pattern) else _local_files(pattern)
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None) or error.name
        raise UserError(f"corpus {pattern}: {reason(error)}; pip install {missing}") from error
    except Exception as error:  # File systems share no class of errors.
        raise UserError(f"corpus {pattern}: {reason(error)}") from error
    folder = re.match(r"[^*?\[]*/|", pattern)
    prefix = folder[0] if folder else ""
    return [File(name, name.removeprefix(prefix), size, version, 0, size) for name, size, version in sorted(listings)]


def local_file(path: Path, below: str = "") -> File:
    """Return a local file. `below` is its path below the folder that a user named; by default its name.

    Raises:
        OSError: There is no such file.
    """
    status = path.stat()
    return File(str(path), below or path.name, status.st_size, status.st_mtime_ns, 0, status.st_size)


def printable(name: str) -> str:
    """Return a file's name as text that UTF-8 can hold; a byte of a name that is not UTF-8 becomes an escape."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def fingerprint(file: File) -> str:
    """Return a string that changes with the content: a local file's SHA-256, a remote file's size and version."""
    return f"{file.size} {file.version}" if _is_remote(file.name) else cached_sha256(Path(file.name))


def pieces(file: File) -> list[File]:
    """Split a file into equal pieces of at most `PIECE` bytes; one piece if it cannot be read from the middle."""
    count = -(-file.size // PIECE)
    if count <= 1 or not _gives_ranges(file):
        return [file]
    bounds = [file.size * i // count for i in range(count + 1)]
    return [replace(file, begin=begin, end=end) for begin, end in pairwise(bounds)]


@contextmanager
def open_file(file: File, *, seekable: bool = False) -> Iterator[BinaryIO]:
    """Open a local or remote file for reading; `seekable` is needed to read it in another order than first to last.

    Raises:
        OSError: The file cannot be opened or read; or, at the end of the block, a local file has changed since it was
            listed.
    """
    if not _is_remote(file.name):
        with Path(file.name).open("rb") as stream:
            yield stream
            status = os.fstat(stream.fileno())
            if (status.st_size, status.st_mtime_ns) != (file.size, file.version):
                raise OSError(
                    f"changed since it was listed: {status.st_size:,} bytes; expected {file.size:,} bytes, and the same"
                    " time of change"
                )
        return
    with _as_os_error():
        system, path = _file_system(file.name)
        # Not every web server can send ranges of bytes, but every one can send a file from first to last.
        options = {} if seekable or not _is_web(file.name) else {"block_size": 0}
        remote = io.BufferedReader(_Remote(system.open(path, "rb", **options), file.size), _BUFFER)
    with remote:
        yield remote


def reason(error: BaseException) -> str:
    """Return the message of an error in one line, or the name of its class if it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


Listing = tuple[str, int, int | str]  # name, size, version


def _local_files(pattern: str) -> tuple[str, list[Listing]]:
    pattern = str(Path(pattern).expanduser())
    # `glob` is used because Path.glob refuses absolute patterns. The name of an existing file may contain brackets.
    if Path(pattern).is_file():
        names = [pattern]
    elif Path(pattern).is_dir():
        pattern = f"{pattern.removesuffix(os.sep)}{os.sep}"
        names = glob.glob(f"{glob.escape(pattern)}**", recursive=True)  # noqa: PTH207
    else:
        names = glob.glob(pattern, recursive=True)  # noqa: PTH207
    stats = [(name, Path(name).stat()) for name in names if Path(name).is_file()]
    return pattern, [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _remote_files(pattern: str) -> tuple[str, list[Listing]]:
    system, path = _file_system(pattern)
    system.invalidate_cache()
    try:
        infos = {path: system.info(path)}
        if infos[path]["type"] == "directory":
            infos = system.find(path, detail=True)
            path = f"{path.rstrip('/')}/"
    except FileNotFoundError as error:
        infos = system.glob(path, detail=True) if _WILDCARD.search(path) else {}
        if not infos and error.__cause__:  # for example a server that cannot be reached
            raise error.__cause__ from None
    return system.unstrip_protocol(path), [
        (system.unstrip_protocol(name), info.get("size") or 0, _version(info))
        for name, info in infos.items()
        if info["type"] != "directory"
    ]


def _version(info: dict[str, Any]) -> str:
    return next((str(info[name]) for name in _VERSION_KEYS if info.get(name)), "")


def _is_remote(name: str) -> bool:
    return "://" in name


def _is_web(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def _file_system(name: str) -> tuple[Any, str]:
    """Return fsspec's file system for a URL, and the path in that file system."""
    from fsspec.core import url_to_fs

    options: dict[str, Any] = {}
    if _is_web(name):
        from aiohttp import ClientTimeout

        # By default aiohttp stops a transfer after five minutes, and a server may compress a file a second time.
        options["client_kwargs"] = {"timeout": ClientTimeout(total=None, sock_connect=30, sock_read=300)}
        options["headers"] = {"Accept-Encoding": "identity"}
    system, path = url_to_fs(name, **options)
    return system, str(path)


def _gives_ranges(file: File) -> bool:
    """Return whether the file can be read from the middle, which not every web server supports."""
    if not _is_web(file.name):
        return True
    try:
        with open_file(file, seekable=True) as stream:
            stream.seek(file.size - 1)
            return len(stream.read(1)) == 1
    except OSError:
        return False


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Raise every exception of the block as an OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # File systems share no class of errors.
        raise OSError(reason(error)) from error


class _Remote(io.RawIOBase):
    """fsspec's file as a raw Python stream, which raises OSError if the file ends before its `size` in bytes."""

    def __init__(self, stream: Any, size: int) -> None:
        self._stream = stream
        self._size = size

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer)
        with _as_os_error():
            content = self._stream.read(len(view))
            if not content and self._stream.tell() < self._size:
                raise OSError(f"broke off after {self._stream.tell():,} of {self._size:,} bytes")
        view[: len(content)] = content
        return len(content)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._stream.seekable())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _as_os_error():
            return int(self._stream.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()
