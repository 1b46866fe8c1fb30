"""What a terminal shows: lines that stay, progress bars, the table of costs. Imports rich and arch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from scalesearch.arch.budget import human
from scalesearch.arch.cost import Breakdown
from scalesearch.arch.space import shown
from scalesearch.arch.spec import DetectorSpec

_PATIENCE = 0.5
"""Seconds before a bar is shown: what is over by then needs none."""


class RichConsole:
    """One bar at a time at the bottom, lines above it; without a terminal, lines only."""

    def __init__(self) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[what]}"))
        console = Console(soft_wrap=True)
        self._progress = Progress(
            *columns,
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._progress.task_ids:
            self._progress.remove_task(task)
        self._progress.stop()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._progress.console.print(text, markup=False, highlight=False)

    def bar(self, label: str, *, at_once: bool = False) -> Callable[[int, int, str], None]:
        """The update (done, total, what) of a new bar; it shows after half a second, unless `at_once`."""
        start = time.monotonic() - _PATIENCE * at_once
        shown: TaskID | None = None

        def update(done: int, total: int, what: str) -> None:
            nonlocal shown
            if shown is None and time.monotonic() - start >= _PATIENCE and done < total:
                for earlier in self._progress.task_ids:
                    self._progress.remove_task(earlier)
                shown = self._progress.add_task(label, total=total, what=what)
            if shown in self._progress.task_ids:
                assert shown is not None
                self._progress.update(shown, completed=done, total=total, what=what)

        return update


def show_costs(costs: Sequence[tuple[str, DetectorSpec, Breakdown]]) -> None:
    """Print a small table of parts for each (name, spec, cost)."""
    console = Console(highlight=False, soft_wrap=True)
    for name, spec, cost in costs:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("")
        for head in ("parameters", "FLOPs", "activations"):
            table.add_column(head, justify="right")
        for part, numbers in cost.to_dict().items():
            table.add_row(
                part.replace("_", " "),
                f"{numbers['params']:,}",
                human(numbers["macs"]),
                human(numbers["activations"]),
                style="bold" if part == "total" else None,
            )
        console.print(f"{name}: input {spec.size[0]}x{spec.size[1]}, {spec.classes} classes", markup=False)
        console.print(table)
    console.print("FLOPs are multiply-adds of convolutions, for one image; parameters are trainable ones.")


class NoteConsole:
    """Lines on standard error, where they spoil no table and no JSON; no bars."""

    def say(self, text: str) -> None:
        """A line that stays."""
        print(text, file=sys.stderr)

    def bar(self, label: str, *, at_once: bool = False) -> Callable[[int, int, str], None]:
        """Nothing."""
        return lambda done, total, what: None


def show_space(
    bands: Sequence[str],
    held: str,
    nearest: str,
    candidates: Sequence[tuple[Mapping[str, Any], Sequence[Mapping[str, float]]]],
) -> None:
    """Print what a space holds of its bands, then a row for each member of each (point, figures of its members)."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"band: {'; '.join(bands)}", markup=False)
    console.print(held, markup=False)
    if nearest:
        console.print(f"nothing was found inside; the nearest misses: {nearest}", markup=False)
    if not candidates:
        return
    figures = list(candidates[0][1][0])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("point")
    for name in figures:
        table.add_column({"macs": "FLOPs", "params": "parameters"}.get(name, name.replace("_", " ")), justify="right")
    for point, members in candidates:
        for i, costs in enumerate(members):
            table.add_row(shown(point) if i == 0 else "", *(human(costs[name], name) for name in figures))
    console.print(table)
