"""The processes that train together: rank, world size and device of this process, and sums over all ranks.

`torchrun` and `accelerate launch` set the environment variables RANK, WORLD_SIZE and LOCAL_RANK, `srun` sets its own.
Without them a run is a single process. torch's DistributedDataParallel sums the gradients.
"""

import os
import re
from collections.abc import MutableMapping
from dataclasses import dataclass
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
    take_srun_variables(os.environ)
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    return Ranks(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")), device)


def take_srun_variables(environment: MutableMapping[str, str]) -> None:
    """Set torchrun's variables from those of a job step of several tasks that `srun` started without torchrun.

    Slurm describes the step's tasks in SLURM_STEP_NUM_TASKS; SLURM_NTASKS also stands in the environment of a single
    process of a batch script. MASTER_ADDR and MASTER_PORT stay as they are if they are set.
    """
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if "RANK" in environment or tasks == "1":
        return
    ranks = {"RANK": environment["SLURM_PROCID"], "LOCAL_RANK": environment["SLURM_LOCALID"], "WORLD_SIZE": tasks}
    environment.update(ranks)
    environment.setdefault("MASTER_ADDR", first_host(environment["SLURM_STEP_NODELIST"]))
    # Tasks of one step agree on the port, and two jobs on one node rarely choose the same.
    environment.setdefault("MASTER_PORT", str(20_000 + int(environment["SLURM_JOB_ID"]) % 10_000))


def first_host(nodes: str) -> str:
    """The first host of a Slurm node list, such as "gpu007" of "gpu[007-010,012],login1"."""
    entry = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    assert entry
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", entry[0])
