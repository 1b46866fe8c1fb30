"""Table of the candidates of a space inside a band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from scalesearch.arch.spec import DetectorSpec
from scalesearch.console.tables import wide
from scalesearch.cost.budget import human
from scalesearch.io.text import for_terminal
from scalesearch.space.space import shown


def show_space(
    bands: Sequence[str],
    held: str,
    nearest: str,
    candidates: Sequence[tuple[Mapping[str, Any], Sequence[DetectorSpec], Sequence[Mapping[str, float]]]],
) -> None:
    """Print what a space has inside its bands, then a row for each member of each (point, members, their metrics).

    Members of a family also show the dimensions that their point only implies.
    """
    console = wide()
    console.print(f"band: {'; '.join(bands)}", markup=False)
    console.print(held, markup=False)
    if nearest:
        console.print(f"nothing was found inside; the nearest misses: {nearest}", markup=False)
    if not candidates:
        return
    _, specs, costs = candidates[0]
    metrics, dimensions = list(costs[0]), ["input", "width", "repeats", "head depth"] if len(specs) > 1 else []
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("point")
    for name in (*dimensions, *metrics):
        table.add_column({"macs": "FLOPs", "params": "parameters"}.get(name, name.replace("_", " ")), justify="right")
    for point, specs, costs in candidates:
        for i, (spec, cost) in enumerate(zip(specs, costs, strict=True)):
            height, width = spec.size
            sizes = [f"{height}x{width}", str(spec.width), str(spec.repeats), str(spec.head_depth)]
            table.add_row(
                Text(for_terminal(shown(point)) if i == 0 else ""),
                *sizes[: len(dimensions)],
                *(human(cost[name], name) for name in metrics),
            )
    console.print(table)
