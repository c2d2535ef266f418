"""The processor of this machine as a device of `anaume plan`, measured in the precision in which a run would train."""

import os

from anaume.model.flops import Device, peak_flops
from anaume.recipe import Precision


def this_cpu(precision: Precision) -> Device:
    """The fastest product of large matrices, in FLOP/s, and the memory of this machine in GiB; takes some seconds."""
    from anaume.model.mlm import CPU, product_dtype, training_precision

    dtype = product_dtype(CPU, training_precision(CPU, precision))
    gibibytes = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30), 1)
    return Device("CPU", peak_flops(CPU, dtype), gibibytes, product=dtype.itemsize)
