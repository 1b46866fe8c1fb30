"""Tables of prices: one design part by part, several designs a row each, a price beside a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from scalesearch.arch.spec import DetectorSpec
from scalesearch.console.tables import HEADINGS, name_cell, wide
from scalesearch.cost.budget import human
from scalesearch.cost.price import Breakdown, Cost
from scalesearch.io.text import for_terminal

PricedRow = tuple[str, DetectorSpec, Breakdown, Mapping[str, float]]
"""(name of the design, its spec, cost of its parts, its metrics)."""


def show_costs(costs: Sequence[PricedRow]) -> None:
    """Print one design part by part, or several designs a row each."""
    console = wide()
    console.print(_parts(*costs[0]) if len(costs) == 1 else _designs(costs))
    if len(costs) == 1:
        _, _, _, metrics = costs[0]
        more = ", ".join(
            f"{HEADINGS[name]} {human(metrics[name], name)}" for name in metrics if name not in Cost._fields
        )
        console.print(more, markup=False)
    console.print("FLOPs are multiply-adds of convolutions, for one image; parameters are trainable ones.")


def _parts(name: str, spec: DetectorSpec, cost: Breakdown, _: Mapping[str, float]) -> Table:
    title = f"{for_terminal(name)}: input {spec.size[0]}x{spec.size[1]}, {spec.classes} classes"
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
    for head in ("design", "input", "classes", *(HEADINGS[name] for name in costs[0][3])):
        table.add_column(head, justify="left" if head == "design" else "right")
    for name, spec, _, metrics in costs:
        size = f"{spec.size[0]}x{spec.size[1]}"
        table.add_row(name_cell(name), size, str(spec.classes), *(human(value, key) for key, value in metrics.items()))
    return table


def show_comparison(name: str, comparison: Any, *, errors: bool = False) -> None:
    """Print a `profile.fvcore_check.Comparison`, to standard error if `errors`."""
    console = Console(highlight=False, soft_wrap=True, stderr=errors)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(Text(f"{for_terminal(name)}: multiply-adds"))
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
