"""Batches made ahead of time by worker processes, in the order in which one process would make them."""

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from anaume.batches.batch import PackedBatch
from anaume.batches.loader import Position, Share, batches
from anaume.batches.plan import BatchPlan
from anaume.errors import UserError
from anaume.processes import end_with_parent

# Batches that each worker keeps ready.
READY_BATCHES = 4

Batches = Iterator[tuple[PackedBatch, Position]]


def _start_worker(worker: int) -> None:  # noqa: ARG001 - DataLoader passes the worker's number
    end_with_parent()


@dataclass
class _Stream(IterableDataset[tuple[PackedBatch, Position] | UserError]):
    plan: BatchPlan
    position: Position
    share: Share

    def __iter__(self) -> Iterator[tuple[PackedBatch, Position] | UserError]:
        worker = get_worker_info()
        assert worker is not None
        share = replace(self.share, worker=worker.id, workers=worker.num_workers)
        try:
            yield from batches(self.plan, self.position, share)
        except UserError as error:  # DataLoader would wrap it in a text of many lines
            yield error


@contextmanager
def prefetch(
    plan: BatchPlan, position: Position, share: Share, workers: int, step_batches: int = 1
) -> Iterator[Batches]:
    """Yield the batches and positions of `loader.batches`, made ahead of time by `workers` processes.

    Without workers this process makes each batch when it is needed. `step_batches` is the number of batches that an
    optimizer step takes; at least that many are kept ready. Each worker makes every `workers`-th batch of this rank and
    the loader takes from them in turn, so the number of workers changes the speed only. The processes end with the
    block, however it ends.

    Raises:
        UserError: a worker was killed; also every error of `loader.batches`.
    """
    if not workers:
        yield batches(plan, position, share)
        return
    others = set(multiprocessing.active_children())
    loader = DataLoader(
        _Stream(plan, position, share),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=max(READY_BATCHES, step_batches),
        multiprocessing_context="spawn",  # a fork would copy the locks that torch's threads hold
        worker_init_fn=_start_worker,
    )
    stream = iter(loader)
    try:
        yield map(_raise_error, stream)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise UserError(
            f"a process that makes batches ended ({str(error).splitlines()[0]}), usually because memory ran out; the"
            " same command continues, with fewer --loaders if it happens again"
        ) from error
    finally:
        _end(set(multiprocessing.active_children()) - others)


def _raise_error(item: tuple[PackedBatch, Position] | UserError) -> tuple[PackedBatch, Position]:
    if isinstance(item, UserError):
        raise item
    return item


def _end(workers: set[BaseProcess]) -> None:
    """End the workers by SIGKILL: they hold nothing to save, and training blocks milder signals in them."""
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would report their ends as errors
    for worker in workers:
        worker.kill()
        worker.join()
    signal.signal(signal.SIGCHLD, handler)
