"""An iterator whose items a thread produces ahead. Standard library only."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")
_WAIT = 0.1
"""Seconds between two checks whether the consumer is still there."""


class _End:
    """The end of the items, with the exception that caused it, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterator[T], depth: int = 2) -> Iterator[T]:
    """Yield the same items in the same order, up to `depth` of them produced ahead by a thread.

    An exception in the thread is raised here. The thread ends with the iteration, also where that is left early.
    """
    queue: Queue[T | _End] = Queue(depth)
    left = threading.Event()

    def put(item: T | _End) -> bool:
        while not left.is_set():
            try:
                queue.put(item, timeout=_WAIT)
            except Full:
                continue
            return True
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as caught:  # noqa: BLE001 - raised again in the consumer
            error = caught
        finally:
            # Closed here, not at garbage collection: a CUDA stream that a generator entered belongs to this thread.
            if isinstance(items, Generator):
                items.close()
        put(_End(error))

    thread = threading.Thread(target=work, name="prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        left.set()
        _emptied(queue)
        thread.join()


def _emptied(queue: Queue[T]) -> None:
    """Empty the queue, so that a producer that waits for space goes on."""
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
