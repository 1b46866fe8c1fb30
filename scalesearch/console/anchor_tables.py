"""Table of the boxes that anchors match."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from scalesearch.arch.spec import Anchors
from scalesearch.console.tables import WIDTH, name_cell, table
from scalesearch.io.text import for_terminal


def show_anchors(found: Mapping[str, Any]) -> None:
    """Print the share of boxes that a detector's own and the proposed anchors match, by size and class."""
    console = Console(highlight=False, soft_wrap=True, width=max(Console().width, WIDTH))
    height, width = found["size"]
    console.print(
        f"{for_terminal(found['split'])} at {height}x{width}: boxes that an anchor overlaps by IoU 0.5", markup=False
    )
    sides = ("own",) if found["same"] else ("own", "proposed")
    shown = table("", "boxes", *(head for side in sides for head in (side, "anchors a box")))
    for name, boxes in found["groups"].items():
        lines = [found[side]["matched"][name] for side in sides]
        cells = [cell for line in lines for cell in (_percent(line["share"]["0.5"]), _number(line["anchors_a_box"]))]
        shown.add_row(name_cell(name), str(boxes), *cells, style="bold" if name == "all" else None)
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
