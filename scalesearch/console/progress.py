"""Messages and progress bars on a terminal, and messages on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from scalesearch.inputs.quoting import shortened
from scalesearch.io.text import LONGEST, for_terminal

_PATIENCE = 0.5
"""Seconds before a bar is shown: shorter work needs none."""
_PERIOD = 60.0
"""Seconds between two lines of progress where there is no terminal to show a bar."""


class RichConsole:
    """One progress bar at a time, with messages above it; messages only without a terminal."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[what]}", markup=False),
        )
        console = Console(soft_wrap=True)
        self._progress = Progress(
            *columns,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._told = time.monotonic()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._progress.stop()

    @property
    def is_terminal(self) -> bool:
        """Whether bars are shown."""
        return self._progress.console.is_terminal

    def say(self, text: str) -> None:
        """A line that stays."""
        self._progress.console.print(for_terminal(text), markup=False, highlight=False)

    def bar(self, label: str, *, at_once: bool = False) -> Callable[[int, int, str], None]:
        """Return the update function (done, total, what) of a new bar, shown after half a second unless `at_once`."""
        if self._progress.disable:
            return lambda done, total, what: self._tell(label, done, total, what)
        start = time.monotonic() - _PATIENCE * at_once
        shown: TaskID | None = None

        def update(done: int, total: int, what: str) -> None:
            nonlocal shown
            if shown is None and time.monotonic() - start >= _PATIENCE and done < total:
                for earlier in self._progress.task_ids:
                    self._progress.remove_task(earlier)
                shown = self._progress.add_task(for_terminal(label), total=total, what="")
            if shown in self._progress.task_ids:
                assert shown is not None
                self._progress.update(shown, completed=done, total=total, what=for_terminal(shortened(what, LONGEST)))

        return update

    def _tell(self, label: str, done: int, total: int, what: str) -> None:
        """Print a line in place of the bar, once every `_PERIOD`."""
        if done < total and time.monotonic() - self._told >= _PERIOD:
            self._told = time.monotonic()
            self.say(f"  {label}: {done / total:.0%}{', ' if what else ''}{shortened(what, LONGEST)}")


class NoteConsole:
    """Messages on standard error, where they disturb no table and no JSON; no bars."""

    def say(self, text: str) -> None:
        """A line that stays."""
        print(for_terminal(text), file=sys.stderr)

    def bar(self, label: str, *, at_once: bool = False) -> Callable[[int, int, str], None]:
        """Return an update function that does nothing."""
        return lambda done, total, what: None
