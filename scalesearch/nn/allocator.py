"""The C library's memory allocator, told to keep what a process frees. Standard library alone."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt (malloc.h)."""


def keep_freed_memory() -> bool:
    """From now on this process keeps the memory that its tensors free, for its next ones. False without glibc.

    By itself glibc maps large blocks one by one and cuts the free end off its heap, so that a network gives its pages
    back and takes them again, cleared by the kernel, in each run. How many depends on where the heap happens to lie: two
    processes of eleven took 14,000 pages anew in each inference of a D0 at 512 pixels and were 18 % slower for their whole
    life. A training step of four images at 512 always took some 500,000 (results/benchmarks/processes.md: 0.76 of its
    time without). No number changes; that step's resident peak grew by a tenth, and what was had is held until
    `give_back_freed_memory`, or the process's end.
    """
    if not _glibc():
        return False
    set_option = ctypes.CDLL(None).mallopt
    # No block is mapped on its own, and the heap's free end is never cut off.
    return bool(set_option(_MMAP_MAX, 0)) and bool(set_option(_TRIM_THRESHOLD, -1))


def give_back_freed_memory() -> bool:
    """Gives what is free now back to the system, this once: between two pieces of work, so that each has its own peak.

    False without glibc.
    """
    if not _glibc():
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


def _glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
