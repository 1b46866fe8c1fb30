"""Progress of long work: the work asks for a bar, and the installed display, if any, shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

Update = Callable[[int, int, str], None]
"""Called with (done, total, the present step or the items counted) as the work proceeds."""


class Display(Protocol):
    """Shows progress; `scalesearch.console.progress` implements it for a terminal."""

    def bar(self, label: str, *, at_once: bool = False) -> Update:
        """Return the update function of a new bar, which may be shown late, or not at all for short work."""


_installed: ContextVar[Display | None] = ContextVar("installed", default=None)


def bar(label: str, *, at_once: bool = False) -> Update:
    """Return the update function of a new bar on the installed display, or one that shows nothing without a display."""
    display = _installed.get()
    return display.bar(label, at_once=at_once) if display else _unseen


@contextmanager
def displayed(display: Display) -> Iterator[None]:
    """Install the display inside the `with` block."""
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
    """Show nothing."""
