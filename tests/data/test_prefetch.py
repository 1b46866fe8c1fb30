"""A thread that runs ahead gives the same items, the same errors, and ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from scalesearch.data.prefetch import ahead


def running() -> int:
    return sum(thread.name == "prefetch" for thread in threading.enumerate())


def test_the_same_items_in_the_same_order() -> None:
    assert list(ahead(iter(range(100)))) == list(range(100))
    assert list(ahead(iter([]))) == []
    assert running() == 0


def test_it_runs_ahead_but_no_further_than_its_depth() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for i in range(20):
            made.append(i)
            yield i

    taken = ahead(items(), depth=3)
    assert next(taken) == 0
    deadline = time.monotonic() + 60
    while len(made) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.05)
    assert made == [0, 1, 2, 3, 4]  # one taken, three waiting, one at the door
    assert list(taken) == list(range(1, 20))


def test_an_error_comes_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    taken = ahead(items())
    assert next(taken) == 1
    with pytest.raises(ValueError, match="no more"):
        next(taken)
    assert running() == 0


def test_left_early_the_thread_ends() -> None:
    taken = ahead(iter(range(10**9)))
    assert next(taken) == 0 and running() == 1
    taken.close()  # type: ignore[attr-defined]
    assert running() == 0


def test_what_items_have_entered_they_leave_in_their_own_thread() -> None:
    """The current CUDA stream belongs to a thread: if another one left it, that one's would change."""
    threads: list[str] = []

    def items() -> Iterator[int]:
        threads.append(threading.current_thread().name)
        try:
            yield from range(10**9)
        finally:
            threads.append(threading.current_thread().name)

    taken = ahead(items())
    assert next(taken) == 0
    taken.close()  # type: ignore[attr-defined]
    assert threads == ["prefetch", "prefetch"]
