"""The C library's memory allocator, set to keep what the process frees. Standard library only."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt (malloc.h)."""


def keep_freed_memory() -> bool:
    """Make this process keep the memory that its tensors free, for later ones. Return False without glibc.

    By default glibc maps large blocks one by one and trims the free end of its heap, so that each run of a network
    returns pages and takes them again, zeroed by the kernel. How many depends on where the heap happens to lie: two
    processes of eleven took 14,000 new pages in each inference of a D0 at 512 pixels and were 18 % slower for life. A
    training step of four images at 512 always took some 500,000 (results/benchmarks/processes.md: 0.76 of its time
    without). Results do not change. That step's resident peak grew by a tenth, and memory is held until
    `give_back_freed_memory` or the end of the process.
    """
    if not _glibc():
        return False
    set_option = ctypes.CDLL(None).mallopt
    # No block gets its own mapping, and the heap's free end is never trimmed.
    return bool(set_option(_MMAP_MAX, 0)) and bool(set_option(_TRIM_THRESHOLD, -1))


def give_back_freed_memory() -> bool:
    """Return the memory that is free now to the system, once: between two runs, so that each has its own peak.

    Return False without glibc.
    """
    if not _glibc():
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


def _glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
