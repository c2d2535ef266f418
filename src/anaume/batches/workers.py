"""Batches made ahead of time by worker processes, in the order in which one process would make them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from anaume.batches.batch import PackedBatch
from anaume.batches.loader import Position, Share, batches
from anaume.batches.plan import BatchPlan
from anaume.processes import end_with_parent

# Batches that each worker keeps ready.
READY_BATCHES = 4


def _start_worker(worker: int) -> None:  # noqa: ARG001 - DataLoader passes the worker's number
    end_with_parent()


@dataclass
class _Stream(IterableDataset[tuple[PackedBatch, Position]]):
    plan: BatchPlan
    position: Position
    share: Share

    def __iter__(self) -> Iterator[tuple[PackedBatch, Position]]:
        worker = get_worker_info()
        assert worker is not None
        yield from batches(self.plan, self.position, replace(self.share, worker=worker.id, workers=worker.num_workers))


def prefetch(
    plan: BatchPlan, position: Position, share: Share, workers: int, step_batches: int = 1
) -> Iterator[tuple[PackedBatch, Position]]:
    """The batches and positions of `loader.batches`, made ahead of time by `workers` processes.

    Without workers this process makes each batch when it is needed. `step_batches` is the number of batches that an
    optimizer step takes; at least that many are kept ready. Each worker makes every `workers`-th batch of this rank and
    the loader takes from them in turn, so the number of workers changes the speed only.
    """
    if not workers:
        return batches(plan, position, share)
    loader = DataLoader(
        _Stream(plan, position, share),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=max(READY_BATCHES, step_batches),
        multiprocessing_context="spawn",  # a fork would copy the locks that torch's threads hold
        worker_init_fn=_start_worker,
    )
    return iter(loader)
