"""Files that are whole, locked and never somebody else's: what every room uses to read and write them.

names.py ► locks.py ► atomic.py ► outputs.py       names, one lock for a path, whole files, what may be written over
"""

from anaume.files.atomic import (
    FULL,
    file_atomic,
    folder_atomic,
    remove_folder,
    remove_leftovers,
    sync,
    write_atomic,
    write_json,
)
from anaume.files.checksums import cached_sha256, sha256
from anaume.files.locks import LockedError, path_lock

__all__ = [
    "FULL",
    "LockedError",
    "cached_sha256",
    "file_atomic",
    "folder_atomic",
    "path_lock",
    "remove_folder",
    "remove_leftovers",
    "sha256",
    "sync",
    "write_atomic",
    "write_json",
]
