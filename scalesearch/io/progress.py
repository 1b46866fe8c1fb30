"""Progress of work that takes long: the work asks for a bar, and the display that is installed shows it, if any is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

Update = Callable[[int, int, str], None]
"""Called with (done, total, what is going on or what is counted) as the work goes on."""


class Display(Protocol):
    """Shows progress; `scalesearch.console.progress` has one for a terminal."""

    def bar(self, label: str, *, at_once: bool = False) -> Update:
        """The update of a new bar, which may wait whether the work takes long enough to be worth it."""


_installed: ContextVar[Display | None] = ContextVar("installed", default=None)


def bar(label: str, *, at_once: bool = False) -> Update:
    """The update of a new bar on the installed display; one that shows nothing where none is installed."""
    display = _installed.get()
    return display.bar(label, at_once=at_once) if display else _unseen


@contextmanager
def displayed(display: Display) -> Iterator[None]:
    """Installs the display for the work inside the `with` block."""
    token = _installed.set(display)
    try:
        yield
    finally:
        _installed.reset(token)


@contextmanager
def relabelled(change: Callable[[str], str]) -> Iterator[None]:
    """Has the label of every bar inside the `with` block changed before it is shown."""
    if (outer := _installed.get()) is None:
        yield
    else:
        with displayed(_Relabelled(outer, change)):
            yield


class _Relabelled:
    def __init__(self, outer: Display, change: Callable[[str], str]) -> None:
        self._outer, self._change = outer, change

    def bar(self, label: str, *, at_once: bool = False) -> Update:
        return self._outer.bar(self._change(label), at_once=at_once)


def _unseen(done: int, total: int, what: str) -> None:
    """Shows nothing."""
