"""The connection between the ranks of a run. The rule: when one rank fails, all of them end within seconds.

A rank that waits in a collective for a rank that has ended holds its GPU, and its launcher sees nothing wrong. So each
rank tells the others of its failure through the store by which they met, and a thread of each looks there.
"""

import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

from anaume.errors import UserError
from anaume.pretrain.ranks.rank import Ranks

# Keys of the store: the first failure as "RANK STATUS", how many ranks have ended, and that the run is prepared.
FAILED, ENDED, READY = "anaume/failed", "anaume/ended", "anaume/ready"
# Seconds between two looks at the store, and the longest wait for the other ranks at the end.
LOOK, PATIENCE = 0.5, 5.0
# The longest wait for the other ranks at the start.
JOIN = timedelta(minutes=5)
# What torch's and gloo's errors say when another rank has gone.
LOST = re.compile(r"gloo|nccl|connection (was )?(closed|reset|refused)|broken pipe", re.IGNORECASE)


class Peers:
    """The connection of this rank with the others; with a single rank it does nothing."""

    def __init__(self, ranks: Ranks, store: Store | None) -> None:
        self._ranks, self._store = ranks, store

    def announce_ready(self) -> None:
        """Let the other ranks go on: the main process has prepared the run."""
        if self._store:
            self._store.set(READY, "")

    def wait_for_main(self, file: Path) -> None:
        """Wait until the main process has prepared the run, and until this process sees `file` on the shared disk.

        Tokenising outlasts the time limits of a process group, so no collective waits here.
        """
        while self._store and not (self._store.check([READY]) and file.exists()):
            time.sleep(LOOK)


@contextmanager
def connected(ranks: Ranks) -> Iterator[Peers]:
    """Connect this process with the other ranks within this block.

    An error within the block ends the other ranks too, with the same exit status.

    Raises:
        UserError: another rank did not start, or the connection to it was lost.
    """
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
    if ranks.count == 1:
        yield Peers(ranks, None)
        return
    store = _join(ranks)
    over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(store.clone(), ranks, over), daemon=True)  # type: ignore[attr-defined]
    watcher.start()
    try:
        yield Peers(ranks, store)
        dist.barrier()
    except BaseException as error:
        over.set()
        _fail(store, ranks, error)
        raise
    over.set()
    watcher.join()
    _count_end(store, ranks)
    dist.destroy_process_group()


def _join(ranks: Ranks) -> Store:
    """The store that the ranks share, after all of them have joined the process group."""
    backend = "nccl" if ranks.device.type == "cuda" else "gloo"
    try:
        store, rank, count = next(rendezvous("env://", timeout=JOIN))
        store.set_timeout(JOIN)
        dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    except (RuntimeError, ValueError) as error:
        address = f"{os.environ.get('MASTER_ADDR')}:{os.environ.get('MASTER_PORT')}"
        raise UserError(
            f"rank {ranks.rank} of {ranks.count}: can't join the other ranks at {address}"
            f" ({str(error).splitlines()[0]}); expected {ranks.count} processes that reach this address"
        ) from error
    assert isinstance(store, Store)
    return store


def _watch(store: Store, ranks: Ranks, over: threading.Event) -> None:
    """End this process when another rank has failed; the main thread may wait for that rank for ever."""
    while not over.wait(LOOK):
        try:
            if not store.check([FAILED]):
                continue
            rank, status = store.get(FAILED).decode().split()
        except RuntimeError:  # rank 0 holds the store
            rank, status = "0", "1"
        if over.is_set():
            return
        print(f"anaume: rank {ranks.rank}: ends, because rank {rank} failed; see its message", file=sys.stderr)
        with suppress(RuntimeError):
            store.add(ENDED, 1)
        os._exit(int(status))  # the main thread may be inside a collective, which no exception interrupts


def _fail(store: Store, ranks: Ranks, error: BaseException) -> None:
    """Tell the other ranks of an error; exit at once if it only follows from the failure of another rank.

    Raises:
        UserError: the connection to another rank was lost, and that rank has not told why.
    """
    status = 2 if isinstance(error, UserError | OSError) else 130 if isinstance(error, KeyboardInterrupt) else 1
    lost = isinstance(error, RuntimeError) and LOST.search(str(error))
    first = f"{ranks.rank} {status}"
    with suppress(RuntimeError):
        first = store.compare_set(FAILED, "", first).decode()
    rank, status_text = first.split()
    if lost and int(rank) != ranks.rank:
        print(f"anaume: rank {ranks.rank}: ends, because rank {rank} failed; see its message", file=sys.stderr)
        raise SystemExit(int(status_text)) from error
    _count_end(store, ranks)
    if lost:
        raise UserError(
            f"rank {ranks.rank}: lost the connection to another rank ({str(error).splitlines()[0]}); it was probably"
            " killed; the same command continues"
        ) from error


def _count_end(store: Store, ranks: Ranks) -> None:
    """Count this rank as ended; the main process, which holds the store, waits some seconds for the others."""
    with suppress(RuntimeError):
        ended, end = store.add(ENDED, 1), time.monotonic() + PATIENCE
        while ranks.is_main and ended < ranks.count and time.monotonic() < end:
            time.sleep(LOOK / 10)
            ended = store.add(ENDED, 0)
