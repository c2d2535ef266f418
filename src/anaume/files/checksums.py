"""SHA-256 checksums of files."""

import hashlib
from functools import lru_cache
from pathlib import Path


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
