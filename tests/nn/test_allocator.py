"""A process keeps the memory that its tensors free, for good: page faults are counted in processes of their own."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from scalesearch.nn.allocator import give_back_freed_memory, keep_freed_memory

TURNS = """
import resource
import torch
from scalesearch.nn.allocator import keep_freed_memory

def turn():  # a step's coming and going: one block that is mapped on its own, and many small ones
    blocks = [torch.ones(2**24)] + [torch.ones(2**15) for _ in range(400)]

def faults():
    for _ in range(3):
        turn()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        turn()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
assert keep_freed_memory() and keep_freed_memory()
print(faults())
"""
PAGES = 5 * 2**26 // 4096
"""Of the large block in five turns."""


HELD = """
import mmap
import torch
from scalesearch.nn.allocator import give_back_freed_memory, keep_freed_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE

keep_freed_memory()
small = torch.ones(2**10)
before = resident()
blocks = [torch.ones(2**20) for _ in range(64)]
del blocks
print(resident() - before)
assert give_back_freed_memory()
print(resident() - before)
"""


def printed(script: str) -> list[int]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_what_is_freed_is_not_taken_anew() -> None:
    before, kept = printed(TURNS)
    assert kept < PAGES // 100
    # The system may back memory with pages larger than 4 KiB: then there are fewer to take.
    assert before > 10 * kept


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_what_is_given_back_is_no_longer_held() -> None:
    kept, given_back = printed(HELD)
    assert kept > 2**27 > 8 * given_back


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert not keep_freed_memory() and not give_back_freed_memory()
