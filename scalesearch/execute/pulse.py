"""Signs of life of a training: taken in its worker's process, judged in the driver's."""

from __future__ import annotations

import time
from typing import NamedTuple

from scalesearch.io.progress import Update

BEAT = 5.0
"""Seconds between the reports of a worker."""
SILENT = 600.0
"""Seconds without a report after which a worker is ended: its process is stopped, or its machine hangs."""
LEAST_GRACE = 120.0
"""Seconds without progress, past the time limit, after which a training is ended; see `overdue`."""


class Beat(NamedTuple):
    """A worker's report: seconds of the present training, and of them those since it last made progress."""

    seconds: float = 0.0
    still: float = 0.0


class Pulse:
    """The progress of the training that runs in this process: any that it would show on a bar. A display."""

    def __init__(self) -> None:
        self._began: float | None = None
        self._moved = 0.0

    def begin(self) -> None:
        """A training begins."""
        self._began = self._moved = time.monotonic()

    def end(self) -> None:
        """No training runs."""
        self._began = None

    def bar(self, label: str, *, at_once: bool = False) -> Update:
        """Take the updates of a bar as signs of life."""
        return self._move

    def _move(self, done: int, total: int, what: str) -> None:
        self._moved = time.monotonic()

    def beat(self) -> Beat:
        """Return the report of now; called by another thread than the training's."""
        began, now = self._began, time.monotonic()
        return Beat() if began is None else Beat(now - began, now - self._moved)


def overdue(limit: float | None, beat: Beat, silent: float) -> str:
    """Say why a worker that trains under this time limit is to be ended; '' while it is not.

    `silent` is the time since its last report. A training ends itself at the first step past its limit. So one that
    hangs is past its limit and makes no progress, for half of the limit, or two minutes: an evaluation reports none.
    """
    if silent > SILENT:
        return f"did not answer for {silent:.0f} s"
    if limit is None:
        return ""
    seconds, still, grace = beat.seconds + silent, beat.still + silent, max(LEAST_GRACE, limit / 2)
    if seconds > limit + grace and still > grace:
        return f"hung: no progress for {still:.0f} s, {seconds - limit:.0f} s past its time_limit of {limit:.0f} s"
    return ""
