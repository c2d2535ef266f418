"""How this process holds on to memory while it trains."""

import ctypes
import sys

# glibc's mallopt(3): how much free memory is given back to the system (-1: none), and how many blocks are mapped apart.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Keep freed memory for the next step instead of giving it back to the system; on Linux with glibc only.

    A step on a CPU frees and asks for the same large tensors again. Each time the system would fill new pages with
    zeros: 120,000 pages, a twentieth of the time, in a step of 6 layers × 256 with 99,574 entries (docs/log.md).
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_MMAP_MAX, 0)
        libc.mallopt(_TRIM_THRESHOLD, -1)
