"""What a terminal shows: lines that stay, progress bars, the table of costs. Imports rich and arch."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from scalesearch.arch.budget import human
from scalesearch.arch.cost import Breakdown
from scalesearch.arch.spec import Anchors, DetectorSpec

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


def show_evaluation(found: Mapping[str, Any]) -> None:
    """Print COCO's twelve numbers by size, and those of each class."""
    console = Console(highlight=False, soft_wrap=True)
    height, width = found["size"]
    console.print(
        f"{found['weights']['file']} (spec {found['spec_id']}, input {height}x{width}) on {found['split']}: "
        f"{found['images']} images, {found['boxes']} boxes",
        markup=False,
    )
    numbers = found["numbers"]
    over = table("", "all", "small", "medium", "large")
    for head, names in (("AP", ("ap", "ap_small", "ap_medium", "ap_large")), ("AP50", ("ap50",)), ("AP75", ("ap75",))):
        over.add_row(head, *(_share(numbers[name]) for name in names))
    over.add_row("AR, 100 detections", *(_share(numbers[f"ar{end}"]) for end in ("100", "_small", "_medium", "_large")))
    over.add_row("AR, 10 detections", _share(numbers["ar10"]))
    over.add_row("AR, 1 detection", _share(numbers["ar1"]))
    console.print(over)
    classes = table("class", "boxes", "AP", "AP50", "AP75", "small", "medium", "large")
    for name, own in found["classes"].items():
        cells = [_share(value) for key, value in own.items() if key != "boxes"]
        classes.add_row(escape(name), str(own["boxes"]), *cells)
    console.print(classes)


def show_anchors(found: Mapping[str, Any]) -> None:
    """Print what share of boxes a detector's anchors and the proposed ones match, by size and class."""
    console = Console(highlight=False, soft_wrap=True)
    height, width = found["size"]
    console.print(f"{found['split']} at {height}x{width}: boxes that an anchor overlaps by IoU 0.5", markup=False)
    sides = ("own",) if found["same"] else ("own", "proposed")
    shown = table("", "boxes", *(head for side in sides for head in (side, "anchors a box")))
    for name, boxes in found["groups"].items():
        lines = [found[side]["matched"][name] for side in sides]
        cells = [cell for line in lines for cell in (_percent(line["share"]["0.5"]), _number(line["anchors_a_box"]))]
        shown.add_row(escape(name), str(boxes), *cells, style="bold" if name == "all" else None)
    console.print(shown)
    console.print(f"own:      {_anchors(found['own']['anchors'])}", markup=False)
    anchors = found["proposed"]["anchors"]
    if found["same"]:
        console.print("proposed: the same")
        return
    console.print(f"proposed: {_anchors(anchors)}", markup=False)
    default = json.loads(json.dumps(dataclasses.asdict(Anchors())))
    changed = ", ".join(f"{name}: {value}" for name, value in anchors.items() if value != default[name])
    if changed:
        console.print(f"as a design or a plan writes them:\n  anchors: {{{changed}}}", markup=False)


def _anchors(anchors: Mapping[str, Any]) -> str:
    ratios = ", ".join(f"{width / height:.3g}" for width, height in anchors["aspects"])
    return f"base scale {anchors['scale']:g}, {anchors['octaves']} octaves, ratios (width / height) {ratios}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def table(first: str, *others: str) -> Table:
    """An empty table: a column of names, columns of numbers."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    made.add_column(first, no_wrap=True)
    for head in others:
        made.add_column(head, justify="right", no_wrap=True)
    return made


def _share(value: float | None) -> str:
    """A number in 0..1; a dash where there is no object to find."""
    return "-" if value is None else f"{value:.3f}"
