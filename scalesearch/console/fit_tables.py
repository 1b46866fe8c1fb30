"""Tables of fitted scaling laws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from scalesearch.console.tables import name_cell, table, wide
from scalesearch.cost.budget import human


def show_fits(found: Mapping[str, Any]) -> None:
    """Print what `fit_scaling` returned: for each family its parameters, its notes and its predictions."""
    console = wide()
    places = 1 if found["ap_unit"] == "points" else 3
    for fact in found["facts"]:
        console.print(fact, markup=False)
    for family in found["families"]:
        console.print()
        console.print(name_cell(family["family"]).append(f": {family['law']}, {family['where']}"))
        made = table("", "value", "80 %", "95 %")
        rows = {**family["parameters"], "noise": family["noise"]}
        for name, estimate in rows.items():
            digits = places if name in "ABC" else 2 if name in "abc" else places + 1
            made.add_row(name, *_cells(estimate, digits))
        console.print(made)
        if family["predictions"]:
            console.print(_predictions(family["predictions"], places))
        for note in family["notes"]:
            console.print(note, markup=False)


def _predictions(predictions: list[dict[str, Any]], places: int) -> Table:
    sized = "size" in predictions[0]
    made = table("FLOPs", "AP", "80 %", "95 %", "of the largest known", *(["best size", "80 %"] if sized else []))
    for one in predictions:
        size = _cells(one["size"], 0)[:2] if sized else []
        made.add_row(human(one["macs"]), *_cells(one["ap"], places), f"{one['times_largest']:.2g} x", *size)
    return made


def _cells(estimate: Mapping[str, Any], digits: int) -> list[str]:
    pairs = (estimate["interval_80"], estimate["interval_95"])
    return [f"{estimate['value']:.{digits}f}", *(f"{low:.{digits}f} .. {high:.{digits}f}" for low, high in pairs)]
