"""Tables of fitted scaling laws."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
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
        if family["scaled"]:
            show_family(console, family["scaled"], places)
        for note in family["notes"]:
            console.print(note, markup=False)


def show_family(console: Console, scaled: Mapping[str, Any], places: int) -> None:
    """Print the best member for each budget, and how its dimensions grow."""
    names = [name for name in ("size", "width", "repeats", "head_depth") if name in scaled["varied"]]
    heads = [name.replace("_", " ") for name in names]
    made = table("budget", *heads, "FLOPs", "parameters", "AP", "80 %", "of the largest known")
    for one in scaled["members"]:
        cells = [_with_range(one[name], one["flat"][name]) for name in names]
        ap = _cells(one["ap"], places)[:2]
        largest = f"{one['times_largest']:.2g} x"
        made.add_row(human(one["budget"]), *cells, human(one["macs"]), human(one["params"], "params"), *ap, largest)
    console.print(made)
    console.print(
        "in brackets: values that the rows do not tell from the best (80 %); < and >: nothing beyond was tried"
    )
    if scaled["left_out"]:
        listed = ", ".join(human(budget) for budget in scaled["left_out"])
        console.print(f"too far from the known costs for a design: {listed}", markup=False)
    growth = scaled["growth_per_doubling"].items()
    text = ", ".join(f"{name.replace('_', ' ')} x {' ('.join(_cells(one, 2)[:2])})" for name, one in growth)
    if text:
        console.print(f"a doubling of FLOPs (80 %): {text}", markup=False)
    for one in scaled["members"]:
        if one["beyond"]:
            listed = ", ".join(f"{name.replace('_', ' ')} {one[name]:.0f}" for name in one["beyond"])
            console.print(f"{human(one['budget'])}: beyond the known values: {listed}", markup=False)


def _with_range(value: float, flat: Mapping[str, Any]) -> str:
    low, high = f"{'<' * flat['open_low']}{flat['low']}", f"{'>' * flat['open_high']}{flat['high']}"
    return f"{value:.0f} ({low} .. {high})"


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
