"""A path, a URL or a glob of either → the files it names; a file → its bytes, wherever it lies.

Local paths go through Python, URLs (s3://, gs://, hf://, https://, memory://, …) through fsspec. Whatever goes wrong
far away comes out of `files` as a UserError and out of reading as an OSError, as it would from a disk.
"""

import glob
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from anaume.errors import UserError
from anaume.files import sha256

PIECE = 256 << 20  # bytes: larger files are read in pieces of so many at most

_BUFFER = 1 << 20  # bytes taken from far away at a time
# What file systems call an etag, a hash of the content, or the time of its last change.
_VERSIONS = (
    *("ETag", "etag", "md5Hash", "blob_id"),
    *("mtime", "LastModified", "Last-Modified", "last_modified", "updated", "created"),
)
_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class File:
    """A file, or of a large one those lines and row groups that begin in its bytes `begin` to `end - 1`.

    `name`     path or URL
    `below`    where it lies below the part of the glob that has no wildcard
    `size`     in bytes, as it was when listed; 0 where a server doesn't tell
    `version`  changes with the content: time of change in ns, or what the file system tells ("" for nothing)
    """

    name: str
    below: str
    size: int
    version: int | str
    begin: int
    end: int

    def __str__(self) -> str:
        return self.name

    @property
    def base(self) -> str:
        """The name's last step, without a URL's query."""
        return PurePosixPath(re.sub(r"[?#].*", "", self.name) if _is_remote(self.name) else self.name).name

    @property
    def is_whole(self) -> bool:
        """Whether this is all of the file."""
        return self.begin == 0 and self.end == self.size


def files(pattern: str) -> list[File]:
    """The files that a path, URL or glob names, sorted by name; folders aren't among them.

    Raises:
        UserError: the file system can't be reached, or a package that speaks to it isn't installed.
    """
    try:
        pattern, found = _remote_files(pattern) if _is_remote(pattern) else _local_files(pattern)
    except ImportError as error:
        missing = getattr(error.__cause__, "name", None) or error.name
        raise UserError(f"corpus {pattern}: {reason(error)}; pip install {missing}") from error
    except Exception as error:  # file systems share no class of errors
        raise UserError(f"corpus {pattern}: {reason(error)}") from error
    fixed = re.match(r"[^*?\[]*/|", pattern)
    prefix = fixed[0] if fixed else ""
    return [File(name, name.removeprefix(prefix), size, version, 0, size) for name, size, version in sorted(found)]


def fingerprint(file: File) -> str:
    """What changes with a file's content: its checksum; of a file far away its size and version."""
    return f"{file.size} {file.version}" if _is_remote(file.name) else sha256(Path(file.name))


def pieces(file: File) -> list[File]:
    """A large file in equal pieces of `PIECE` bytes or less, where it can be read from its middle; otherwise itself."""
    count = -(-file.size // PIECE)
    if count <= 1 or not _gives_ranges(file):
        return [file]
    bounds = [file.size * i // count for i in range(count + 1)]
    return [replace(file, begin=begin, end=end) for begin, end in pairwise(bounds)]


def open(file: File, *, seekable: bool = False) -> BinaryIO:
    """The bytes of a file; `seekable` if they are not read from first to last.

    Raises:
        OSError: there or while reading, wherever the file is.
    """
    if not _is_remote(file.name):
        return Path(file.name).open("rb")
    with _as_os_error():
        system, path = _file_system(file.name)
        # A web server need not know of ranges of bytes, but all of them can send a file from first to last.
        options = {} if seekable or not _is_web(file.name) else {"block_size": 0}
        return io.BufferedReader(_Remote(system.open(path, "rb", **options), file.size), _BUFFER)


def reason(error: BaseException) -> str:
    """What an error says, in one line; its class where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


Found = tuple[str, int, int | str]  # name, size, version


def _local_files(pattern: str) -> tuple[str, list[Found]]:
    pattern = str(Path(pattern).expanduser())
    # Not Path.glob: the pattern may be absolute. A file's own name may hold brackets: then it is no pattern.
    names = [pattern] if Path(pattern).is_file() else glob.glob(pattern, recursive=True)  # noqa: PTH207
    stats = [(name, Path(name).stat()) for name in names if Path(name).is_file()]
    return pattern, [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


def _remote_files(pattern: str) -> tuple[str, list[Found]]:
    system, path = _file_system(pattern)
    system.invalidate_cache()
    try:
        infos = {path: system.info(path)}
    except FileNotFoundError as error:
        infos = system.glob(path, detail=True) if _MAGIC.search(path) else {}
        if not infos and error.__cause__:  # a server that can't be reached, say
            raise error.__cause__ from None
    return system.unstrip_protocol(path), [
        (system.unstrip_protocol(name), info.get("size") or 0, _version(info))
        for name, info in infos.items()
        if info["type"] != "directory"
    ]


def _version(info: dict[str, Any]) -> str:
    return next((str(info[name]) for name in _VERSIONS if info.get(name)), "")


def _is_remote(name: str) -> bool:
    return "://" in name


def _is_web(name: str) -> bool:
    return name.startswith(("http://", "https://"))


def _file_system(name: str) -> tuple[Any, str]:
    """fsspec's file system for a URL, and the path in it."""
    from fsspec.core import url_to_fs

    options: dict[str, Any] = {}
    if _is_web(name):
        from aiohttp import ClientTimeout

        # Otherwise a file that takes longer than five minutes breaks off; and a server may pack what is packed already.
        options["client_kwargs"] = {"timeout": ClientTimeout(total=None, sock_connect=30, sock_read=300)}
        options["headers"] = {"Accept-Encoding": "identity"}
    system, path = url_to_fs(name, **options)
    return system, str(path)


def _gives_ranges(file: File) -> bool:
    """Whether bytes from the middle of a file can be had; of web servers not all give them."""
    if not _is_web(file.name):
        return True
    try:
        with open(file, seekable=True) as stream:
            stream.seek(file.size - 1)
            return len(stream.read(1)) == 1
    except OSError:
        return False


@contextmanager
def _as_os_error() -> Iterator[None]:
    try:
        yield
    except OSError:
        raise
    except Exception as error:  # file systems share no class of errors
        raise OSError(reason(error)) from error


class _Remote(io.RawIOBase):
    """fsspec's file as a raw stream of Python's, which knows when it was cut off."""

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
