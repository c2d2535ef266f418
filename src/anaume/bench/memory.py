"""Peak memory of this process. torch is imported only for the memory of a GPU."""

import re
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def peak_memory(device: "torch.device") -> int:
    """Most bytes that this process has held so far, on the GPU or in the machine's memory.

    Linux gives the number in /proc. On other systems `ru_maxrss` may also count the process that started this one.
    """
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.exists() and (match := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return 1024 * int(match.group(1))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
