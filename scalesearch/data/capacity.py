"""The space free for decoded images, and an array that decodes on access where there is too little.

Standard library and NumPy.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scalesearch.inputs.machine import free_memory, usable_processors
from scalesearch.io import target

SPARED = 0.1
"""Share of the free space that is left to others."""


class Decoding:
    """A uint8 array [N, h, w, 3] of images, decoded on every access by a pool of one thread per core."""

    def __init__(self, shape: tuple[int, int, int, int], decode: Callable[[int], NDArray[np.uint8]]) -> None:
        self.shape, self._decode = shape, decode
        self._threads = ThreadPoolExecutor(usable_processors(), thread_name_prefix="decode")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Decode positions [B] -> [B, h, w, 3]."""
        return np.stack(list(self._threads.map(self._decode, index.tolist())))


def free_bytes(cache: Path | None) -> int:
    """Return the bytes that may be filled: on the disk that `cache` is or will be on, or in memory without a cache."""
    if cache is None:
        free = free_memory()
    else:
        there = next(folder for folder in (cache, *cache.absolute().parents) if folder.exists())
        free = shutil.disk_usage(there).free
    return int(free * (1 - SPARED))


def reserve(file: Path) -> None:
    """Allocate the blocks of a sparse file now: a disk that fills while a mapped file is written kills the process.

    Raises OSError as `target.reserve` does.
    """
    with file.open("r+b") as opened:
        target.reserve(opened.fileno(), file.stat().st_size)
