"""Progress bars on a terminal, with log messages above them."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from scalesearch.console.lines import printed_by, speaks
from scalesearch.inputs.quoting import shortened
from scalesearch.io.progress import Update, displayed
from scalesearch.io.text import LONGEST, for_terminal

logger = logging.getLogger(__name__)

_PATIENCE = 0.5
"""Seconds before a bar is shown: shorter work needs none."""
_PERIOD = 60.0
"""Seconds between two lines of progress where there is no terminal to show a bar."""


class RichConsole:
    """One progress bar at a time, with messages above it; messages only without a terminal.

    They go to standard output, or to standard error where the output is to be JSON alone.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[what]}", markup=False),
        )
        console = Console(soft_wrap=True, stderr=stderr)
        self._progress = Progress(
            *columns,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (console.is_terminal and speaks()),
        )
        self._printed = time.monotonic()
        self._installed = ExitStack()

    def __enter__(self) -> Self:
        self._progress.start()
        self._installed.enter_context(displayed(self))
        self._installed.enter_context(printed_by(self._line))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._installed.close()
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        if not self._progress.disable:  # rich before 15 ends even a disabled bar with an empty line
            self._progress.stop()

    @property
    def detail(self) -> int:
        """Least level shown for records on work that also has a bar: INFO on a terminal, else DEBUG."""
        return logging.INFO if self._progress.console.is_terminal else logging.DEBUG

    def _line(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def bar(self, label: str, *, at_once: bool = False) -> Update:
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
        if done < total and time.monotonic() - self._printed >= _PERIOD:
            self._printed = time.monotonic()
            logger.info(f"  {label}: {done / total:.0%}{', ' if what else ''}{shortened(what, LONGEST)}")
