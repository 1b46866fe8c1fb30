"""Locks between processes: of a file that is held open, by the system's `flock`. Standard library only.

The system releases a lock when its process ends in any way.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def try_lock(handle: int) -> bool:
    """Lock the open file for this process until it is closed; return False where another process holds the lock.

    Raises OSError on a disk without locks: NFS without its lock service, some FUSE and cluster file systems.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # EAGAIN; EACCES where NFS makes a POSIX lock of it
        return False
    return True


@contextmanager
def one_at_a_time(file: Path, tell: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Wait until no other process is in a block under the same lock file, which is made and removed again.

    `tell` is called before a wait. Yield whether the lock is held: on a disk without locks, or one that cannot be
    written, the block runs at once.
    """
    handle = _held(file, tell)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            # Removed while it is held; who waits for it sees that it is gone, and makes a new one.
            file.unlink(missing_ok=True)
            os.close(handle)


def _held(file: Path, tell: Callable[[], None]) -> int | None:
    while True:
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None
        try:
            if not try_lock(handle):
                tell()
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(handle), file.stat()):
                return handle
        except FileNotFoundError:
            pass
        except OSError:
            os.close(handle)
            return None
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
