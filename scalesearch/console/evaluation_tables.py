"""Tables of COCO metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from scalesearch.console.tables import WIDTH, name_cell, table
from scalesearch.io.text import for_terminal


def show_evaluation(found: Mapping[str, Any]) -> None:
    """Print the twelve COCO metrics by object size, and the metrics of each class."""
    console = Console(highlight=False, soft_wrap=True, width=max(Console().width, WIDTH))
    height, width = found["size"]
    console.print(
        f"{for_terminal(found['weights']['file'])} (spec {found['spec_id']}, input {height}x{width}) on {for_terminal(found['split'])}: "
        f"{found['images']} images, {found['boxes']} boxes{'' if found['nms'] == 'hard' else ', soft-NMS'}",
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
        classes.add_row(name_cell(name), str(own["boxes"]), *cells)
    console.print(classes)


def _share(value: float | None) -> str:
    """Format a metric in 0..1; a dash where there is no object to find."""
    return "-" if value is None else f"{value:.3f}"
