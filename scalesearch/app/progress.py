"""What a command needs to tell what it does; `scalesearch.console` is one for a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Console(Protocol):
    """Where a command tells what it does."""

    def say(self, text: str) -> None:
        """One line that stays."""

    def bar(self, label: str, *, at_once: bool = False) -> Callable[[int, int, str], None]:
        """A progress bar's update: (done, total, what); the bar may wait whether it is worth showing."""


class Silent:
    """The console of a process that another one speaks for."""

    def say(self, text: str) -> None:
        """Nothing."""

    def bar(self, label: str, *, at_once: bool = False) -> Callable[[int, int, str], None]:
        """An update that shows nothing."""
        return lambda done, total, what: None
