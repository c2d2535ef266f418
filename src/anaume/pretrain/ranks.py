"""The processes that train together: who this one is, and sums over all of them.

`torchrun` and `accelerate launch` set the same variables (RANK, WORLD_SIZE, LOCAL_RANK); without them a run is one
process of its own. Gradients are summed by torch's DistributedDataParallel.
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
    """This process's number among `count`, and the device it trains on."""

    rank: int
    count: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes: metrics, checkpoints, progress."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """`values` summed over all ranks, in place."""
        if self.count > 1:
            dist.all_reduce(values)
        return values

    def broadcast(self, value: T) -> T:
        """The main process's `value`: a shared disk need not show all processes the same."""
        values = [value]
        if self.count > 1:
            dist.broadcast_object_list(values, src=0)
        return values[0]


def this_rank() -> Ranks:
    """Who this process is, by the launcher's variables."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    return Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")), device)


@contextmanager
def process_group(ranks: Ranks) -> Iterator[None]:
    """Join the other processes for the time of a block."""
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
    """Wait until the main process has written `file`. By the file system: tokenising outlasts a group's time limits."""
    while not file.exists():
        time.sleep(0.5)
