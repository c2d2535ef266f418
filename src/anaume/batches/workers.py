"""Batches made by worker processes, some ahead of need, in the order in which one process would make them."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from anaume.batches.batch import PackedBatch
from anaume.batches.loader import Position, Share, batches
from anaume.batches.plan import BatchPlan
from anaume.processes import end_with_parent

# Batches that each worker keeps ready.
AHEAD = 4


def _begin(worker: int) -> None:  # noqa: ARG001 - the form that DataLoader wants
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
    plan: BatchPlan, position: Position, share: Share, workers: int, at_once: int = 1
) -> Iterator[tuple[PackedBatch, Position]]:
    """What `batches` gives, made by so many worker processes; by this one, when asked for, if there are none.

    `at_once` batches are taken in a row, at each step: so many are ready at least.

    The loader asks its workers in turn, and each makes every `workers`-th batch of this rank, so their number changes
    nothing but the speed.
    """
    if not workers:
        return batches(plan, position, share)
    loader = DataLoader(
        _Stream(plan, position, share),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=max(AHEAD, at_once),
        multiprocessing_context="spawn",  # a fork would copy torch's threads and the locks that they hold
        worker_init_fn=_begin,
    )
    return iter(loader)
