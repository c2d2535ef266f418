"""The processes that train together: rank, world size and device of this process, and sums over all ranks.

`torchrun` and `accelerate launch` set the environment variables RANK, WORLD_SIZE and LOCAL_RANK. Without them a run is
a single process. torch's DistributedDataParallel sums the gradients.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """The number of this process among `count` ranks, and its device."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes metrics, checkpoints and progress."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Sum `values` over all ranks, in place, and return it."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def broadcast(self, value: T) -> T:
        """The main process's `value` on every rank, because a shared disk may show different files to each process."""
        values = [value]
        if self.count > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]


def this_rank() -> Ranks:
    """Rank, world size and device of this process, read from the launcher's environment variables."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    return Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")), device)


@contextmanager
def process_group(ranks: Ranks) -> Iterator[None]:
    """Connect this process with the other ranks within this block."""
    if ranks.device.type == "cuda":
        torch.cuda.set_device(ranks.device)
    if ranks.count == 1:
        yield
        return
    dist.init_process_group("nccl" if ranks.device.type == "cuda" else "gloo", rank=ranks.rank, world_size=ranks.count)
    try:
        yield
    finally:
        dist.destroy_process_group()


def wait_for(file: Path) -> None:
    """Wait until the main process has written `file`. Tokenising outlasts the time limits of a process group."""
    while not file.exists():
        time.sleep(0.5)
