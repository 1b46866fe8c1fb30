"""Files that a user names, read within a bound and without waiting for a writer."""

from __future__ import annotations

import errno
import os
from pathlib import Path

MOST_BYTES = 2**28
"""The largest file that is read whole, 256 MiB: rows and tables of timings have some kilobytes."""


def read_start(path: Path, most: int) -> bytes:
    """Return the file's first `most` bytes. A pipe that nobody writes to is empty. OSError."""
    with open(path, "rb", opener=_at_once) as file:
        return file.read(most)


def read_whole(path: Path) -> bytes:
    """Return the file's bytes. OSError, also for a file of more than MOST_BYTES, as a device has."""
    raw = read_start(path, MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return raw


def _at_once(path: str, flags: int) -> int:
    """Open without waiting: a plain open of a pipe waits until somebody writes to it."""
    handle = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(handle, True)
    return handle
