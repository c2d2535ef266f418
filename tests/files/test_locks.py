"""One lock for every path, also where the file system has no locks."""

import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from anaume.files import locks
from anaume.files.locks import LockedError, path_lock

fcntl = pytest.importorskip("fcntl")


@pytest.fixture(params=[None, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP], ids=["locks", "NFS", "FUSE", "Lustre"])
def reason(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why the file system has no locks; empty for one that has them."""
    if request.param is None:
        return ""

    def fail(*_: object) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", fail)
    monkeypatch.setattr(locks, "REFRESH_SECONDS", 0.01)
    monkeypatch.setattr(locks, "_warned", set())
    return os.strerror(request.param)


@contextmanager
def locked_by_another_thread(path: Path) -> Iterator[None]:
    """A lock keeps threads apart as it keeps processes apart."""
    with ThreadPoolExecutor(1) as thread:
        lock = path_lock(path)
        thread.submit(lock.__enter__).result()
        try:
            yield
        finally:
            thread.submit(lock.__exit__, None, None, None).result()


@pytest.mark.usefixtures("reason")
def test_a_lock_is_free_held_and_free_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with path_lock(path), path_lock(path):
        with pytest.raises(LockedError), path_lock(path, wait="for the dead"):
            pass
        assert len(list(path.parent.iterdir())) == 1
    assert list(path.parent.iterdir()) == []
    with locked_by_another_thread(path):
        with pytest.raises(LockedError), path_lock(path, wait="for the dead"):
            pass
        with path_lock(path.with_name("other"), wait="for the dead"):  # each path has a lock of its own
            pass
    with path_lock(path, wait="for the dead"):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_missing_lock_is_said_once(reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        with path_lock(tmp_path / name):
            pass
    assert capsys.readouterr().err.count("its file system has no locks") == (1 if reason else 0)


@pytest.mark.usefixtures("reason")
def test_threads_take_turns(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")

    def count() -> None:
        for _ in range(20):
            with path_lock(counter):
                counter.write_text(str(int(counter.read_text()) + 1))

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(count) for _ in range(4)]:
            done.result()
    assert counter.read_text() == "80"


def _hold(path: Path) -> None:
    with path_lock(path):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.usefixtures("reason")
def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    holder = multiprocessing.get_context("fork").Process(target=_hold, args=(path,))
    holder.start()
    holder.join()
    assert holder.exitcode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    with path_lock(path):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("reason")
@pytest.mark.parametrize("reason", [errno.ENOLCK], indirect=True)
def test_a_lease_of_another_machine_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process of another machine can't be asked whether it runs; its lease is free when it is not refreshed."""
    monkeypatch.setattr(locks, "LEASE_SECONDS", 0.05)
    with path_lock(tmp_path / "file"):
        (lease,) = tmp_path.iterdir()
        text = lease.read_text()
    host = next(line for line in text.splitlines() if line.startswith("host="))
    lease.write_text(text.replace(host, "host=node-of-yesterday"))
    with path_lock(tmp_path / "file", wait="for the dead"):
        assert "node-of-yesterday" not in lease.read_text()
    assert "waiting to see whether the process that it names still runs" in capsys.readouterr().err


@pytest.mark.usefixtures("reason")
@pytest.mark.parametrize("reason", [errno.ENOLCK], indirect=True)
def test_a_lost_lease_ends_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lost: list[str] = []
    told = threading.Event()

    def stop(loss: Any) -> None:
        lost.append(loss.reason)
        told.set()

    monkeypatch.setattr(locks, "_stop", stop)
    with path_lock(tmp_path / "file"):
        (lease,) = tmp_path.iterdir()
        lease.unlink()
        assert told.wait(20)
    assert lost == ["marker-missing"]


def test_other_errors_are_raised(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), path_lock(tmp_path / "file" / "below"):
        pass
