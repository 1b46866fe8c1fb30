"""What a terminal shows: lines that stay, progress bars, the table of costs. Imports rich and arch."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.cost.budget import human
from scalesearch.cost.price import Breakdown, Cost
from scalesearch.space.space import shown

_WIDE = 160
"""Columns that a table of many numbers takes where nobody says how wide the terminal is."""
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


def _wide() -> Console:
    """A console whose tables lose no column where the output is no terminal, or a narrow one."""
    return Console(highlight=False, soft_wrap=True, width=max(Console().width, _WIDE))


PricedRow = tuple[str, DetectorSpec, Breakdown, Mapping[str, float]]
"""A design's name, itself, its parts and its figures."""


def show_costs(costs: Sequence[PricedRow]) -> None:
    """Print one design part by part, or several a row each."""
    console = _wide()
    console.print(_parts(*costs[0]) if len(costs) == 1 else _designs(costs))
    if len(costs) == 1:
        _, _, _, figures = costs[0]
        more = ", ".join(f"{_HEADS[name]} {human(figures[name], name)}" for name in figures if name not in Cost._fields)
        console.print(more, markup=False)
    console.print("FLOPs are multiply-adds of convolutions, for one image; parameters are trainable ones.")


def show_evaluation(found: Mapping[str, Any]) -> None:
    """Print COCO's twelve numbers by size, and those of each class."""
    console = Console(highlight=False, soft_wrap=True, width=max(Console().width, _WIDE))
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
    console = Console(highlight=False, soft_wrap=True, width=max(Console().width, _WIDE))
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


_HEADS = {
    "params": "parameters",
    "macs": "FLOPs",
    "activations": "activations",
    "memory": "memory",
    "latency": "latency",
}


def _parts(name: str, spec: DetectorSpec, cost: Breakdown, _: Mapping[str, float]) -> Table:
    title = f"{name}: input {spec.size[0]}x{spec.size[1]}, {spec.classes} classes"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(title), title_justify="left", title_style="none")
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
    return table


def _designs(costs: Sequence[PricedRow]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("design", "input", "classes", *(_HEADS[name] for name in costs[0][3])):
        table.add_column(head, justify="left" if head == "design" else "right")
    for name, spec, _, figures in costs:
        size = f"{spec.size[0]}x{spec.size[1]}"
        table.add_row(Text(name), size, str(spec.classes), *(human(value, key) for key, value in figures.items()))
    return table


def show_comparison(name: str, comparison: Any, *, errors: bool = False) -> None:
    """Print a `profile.fvcore_check.Comparison`, on standard error if `errors`."""
    console = Console(highlight=False, soft_wrap=True, stderr=errors)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text(f"{name}: multiply-adds"))
    for head in ("price", "fvcore's trace", ""):
        table.add_column(head, justify="left" if not head else "right")
    for entry in comparison.entries:
        verdict = "equal" if entry.agrees else f"differs by {entry.counted - entry.priced + entry.unused:+,}"
        unused = f"; the trace drops {entry.unused:,} that nothing reads" if entry.unused else ""
        table.add_row(entry.name, f"{entry.priced:,}", f"{entry.counted:,}", verdict + unused)
    console.print(table)
    console.print(
        f"not multiply-adds by our convention, left out: {', '.join(comparison.left_out) or 'nothing'}", markup=False
    )
    console.print(f"not counted by the tracer: {', '.join(comparison.uncounted) or 'nothing'}", markup=False)


def show_latency(name: str, found: Mapping[str, Any]) -> None:
    """Print a measured latency, as `profile.latency_benchmark.Latency.to_dict` has it."""
    console, setting = Console(highlight=False, soft_wrap=True), found["setting"]
    threads = f"{setting['threads']} thread{'s' * (setting['threads'] != 1)}"
    console.print(
        f"{name}: input {found['size'][0]}x{found['size'][1]}, batch {setting['batch']}; {setting['device']}, "
        f"{setting['backend']}, {setting['precision']}, {threads}",
        markup=False,
    )
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("", "median", "95 % interval of it"):
        table.add_column(head, justify="right" if head else "left")
    low, high = found["interval"]
    table.add_row(
        "detector", f"{1e3 * found['seconds']:.2f} ms", f"{1e3 * low:.2f} .. {1e3 * high:.2f} ms", style="bold"
    )
    low, high = found["ratio_interval"]
    table.add_row("over the reference", f"{found['ratio']:.3f}", f"{low:.3f} .. {high:.3f}")
    table.add_row("reference", f"{1e3 * found['reference']:.2f} ms", f"10th to 90th percentile {found['drift']:.0%}")
    table.add_row("suppression", f"{1e3 * found['suppression']:.2f} ms", "apart, not in the above")
    console.print(table)
    versions = ", ".join(f"{package} {version}" for package, version in setting["versions"].items())
    console.print(f"{found['rounds']} rounds, {found['clock']} time. {versions}.", markup=False)
    console.print(f"Reference: {found['reference_operation']}.", markup=False)


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
    candidates: Sequence[tuple[Mapping[str, Any], Sequence[DetectorSpec], Sequence[Mapping[str, float]]]],
) -> None:
    """Print what a space holds of its bands, then a row for each member of each (point, members, their figures).

    A family's members are told by the dimensions that its point only implies.
    """
    console = _wide()
    console.print(f"band: {'; '.join(bands)}", markup=False)
    console.print(held, markup=False)
    if nearest:
        console.print(f"nothing was found inside; the nearest misses: {nearest}", markup=False)
    if not candidates:
        return
    _, specs, costs = candidates[0]
    figures, dimensions = list(costs[0]), ["input", "width", "repeats", "head depth"] if len(specs) > 1 else []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("point")
    for name in (*dimensions, *figures):
        table.add_column({"macs": "FLOPs", "params": "parameters"}.get(name, name.replace("_", " ")), justify="right")
    for point, specs, costs in candidates:
        for i, (spec, cost) in enumerate(zip(specs, costs, strict=True)):
            height, width = spec.size
            sizes = [f"{height}x{width}", str(spec.width), str(spec.repeats), str(spec.head_depth)]
            table.add_row(
                shown(point) if i == 0 else "",
                *sizes[: len(dimensions)],
                *(human(cost[name], name) for name in figures),
            )
    console.print(table)


def show_table(heads: Sequence[str], lines: Sequence[Sequence[str]], legend: str) -> None:
    """Print a table, names to the left and numbers to the right, and what it means."""
    console = _wide()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for i, head in enumerate(heads):
        table.add_column(head, justify="right" if i else "left", no_wrap=not i)
    for line in lines:
        table.add_row(*line)
    console.print(table)
    console.print(legend, markup=False)
