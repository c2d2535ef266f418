"""One lock for every path: processes on all machines that share a file system take turns.

The operating system drops a lock when its process ends. Some mounts of network file systems (NFS, Lustre) have no such
locks. There a lease file takes its place: it names the process and its machine and is refreshed, and after
`LEASE_SECONDS` without a refresh it is free.
"""

import _thread
import errno
import multiprocessing
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from anaume.files.names import hidden_sibling

if TYPE_CHECKING:
    from filelock import BaseFileLock
    from filelock import LeaseCompromise as LostLease

# Long enough for a pause of the file system, or of a process whose threads wait for a C++ library.
LEASE_SECONDS, REFRESH_SECONDS = 120.0, 15.0
POLL_SECONDS = 0.1
# Error numbers of a file system without locks.
NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP)

Wait: TypeAlias = Literal["always", "for the dead", "never"]


class LockedError(Exception):
    """Another process holds the lock."""


@contextmanager
def path_lock(path: Path, *, wait: Wait = "always") -> Iterator[None]:
    """Hold the lock of `path` among all processes and threads.

    The folder of `path` is made if it does not exist. The lock's file beside `path` is removed at the end. A thread
    that holds a lock may take it again, unless it does not wait.

    `wait`: "always" waits until the lock is free, "never" does not wait. "for the dead" refuses a lock of a living
    process, but waits for a lease whose process seems to have died on another machine.

    Raises:
        LockedError: the lock is held, and `wait` is not "always".
        OSError: the lock's file can't be written.
    """
    path = path.parent.resolve() / path.name
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = _system_lock(hidden_sibling(path, "lock"), wait)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        _warn_once(path.parent, error.strerror)
        lock = _lease(hidden_sibling(path, "lease"), wait)
    try:
        yield
    finally:
        lock()


def _system_lock(file: Path, wait: Wait) -> Callable[[], None]:
    """Acquire a lock of the operating system, and return the function that releases it."""
    from filelock import FileLock, Timeout

    lock = FileLock(file, is_singleton=True, fallback_to_soft=False, poll_interval=POLL_SECONDS)
    is_outermost = not lock.is_locked
    if wait != "always" and not is_outermost:
        raise LockedError(str(file))
    try:
        lock.acquire(blocking=wait == "always")
        while not file.exists():  # the previous holder removed it after this process had opened it
            lock.release()
            lock.acquire(blocking=wait == "always")
    except Timeout as error:
        raise LockedError(str(file)) from error
    except OSError as error:
        if error.errno in NO_LOCKS:
            file.unlink(missing_ok=True)
        raise

    def release() -> None:
        if is_outermost:
            with suppress(OSError):  # Windows keeps a file that is open
                file.unlink()
        lock.release()

    return release


def _lease(file: Path, wait: Wait) -> Callable[[], None]:
    """Acquire a lease, and return the function that releases it."""
    from filelock import SoftFileLease, Timeout

    lease: BaseFileLock = SoftFileLease(
        file,
        is_singleton=True,
        poll_interval=POLL_SECONDS,
        lease_duration=LEASE_SECONDS,
        heartbeat_interval=REFRESH_SECONDS,
        on_compromise=_stop,
    )
    if wait != "always" and lease.is_locked:
        raise LockedError(str(file))
    try:
        lease.acquire(blocking=wait != "never", cancel_check=_is_refreshed(file) if wait == "for the dead" else None)
    except Timeout as error:
        raise LockedError(str(file)) from error
    return lease.release


def _is_refreshed(file: Path) -> Callable[[], bool]:
    """A function that returns whether a lease was refreshed since this call, so that its process is alive."""

    def time_of_change() -> int | None:
        try:
            return file.stat().st_mtime_ns
        except FileNotFoundError:
            return None

    before = time_of_change()
    if before:
        print(f"anaume: {file}: waiting to see whether the process that it names still runs", file=sys.stderr)
    return lambda: time_of_change() not in (before, None)


def _stop(lost: "LostLease") -> None:
    """End the work of this process as Ctrl-C does: another process may write the same files now."""
    print(f"anaume: {lost.lock_file}: this process has lost its lease ({lost.reason})", file=sys.stderr)
    _thread.interrupt_main()


_warned: set[int] = set()


def _warn_once(folder: Path, reason: str | None) -> None:
    """Say once for each file system, and not again in worker processes, that it has no locks."""
    device = folder.stat().st_dev
    if device not in _warned and multiprocessing.parent_process() is None:
        _warned.add(device)
        print(
            f"anaume: {folder}: its file system has no locks ({reason}); lease files take their place, and work of a"
            f" process that died on another machine goes on {LEASE_SECONDS:.0f} seconds later",
            file=sys.stderr,
        )
