import subprocess
import sys

import pytest

# A process frees 64 MB and asks for them again: pages that it must fault in, of 4 KB each, before and after.
PROGRAM = """
import resource
import torch
from anaume.pretrain.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(1 << 24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
def test_freed_memory_is_not_faulted_in_again() -> None:
    found = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    before, after = map(int, found.stdout.split())
    assert after < 100 < before
