"""An iterator whose items are made ahead by a thread. Standard library only."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import Empty, Full, Queue
from typing import TypeVar

T = TypeVar("T")
_WAIT = 0.1
"""Seconds between two looks at whether the other side is still there."""


class _End:
    """Of the items, with the exception that ended them, if one did."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Iterator[T], depth: int = 2) -> Iterator[T]:
    """The same items in the same order, up to `depth` of them made by a thread before they are asked for.

    What raises in the thread raises here. The thread ends with the iteration, also where that is left early.
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
        except BaseException as caught:  # noqa: BLE001 - raised again where it is read
            error = caught
        finally:
            # Here, not where it is collected: a CUDA stream that a generator entered is this thread's.
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
    """Empties the queue, so that who waits for room goes on."""
    while True:
        try:
            queue.get_nowait()
        except Empty:
            return
