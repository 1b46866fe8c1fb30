"""The bands of a plan: the sections `band`, `family` and `latency`. Every error has file and line."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from scalesearch.cost.budget import METRICS, Bound, Budget, human
from scalesearch.plan.axes import read_axis
from scalesearch.plan.latency_table import read_table
from scalesearch.plan.reader import Section, Value
from scalesearch.space.space import Choices

SOLVABLE = ("size", "width", "repeats", "head_depth")
"""The axes along which a family member can be solved into its band: its cost grows with each of them."""

CALLED = {
    **dict.fromkeys(("flops", "gflops", "gmacs", "mac", "madds", "mult_adds", "multiply_adds"), "macs"),
    **dict.fromkeys(("parameters", "num_params", "param"), "params"),
    **dict.fromkeys(("map", "accuracy"), "ap"),
}
"""Other names of metrics, and what they are called here."""


@dataclass(frozen=True, kw_only=True)
class FamilyPlan:
    """The members of a family: one for each band, at its phi, solved into the band along one axis."""

    bands: tuple[Budget, ...]
    phi: tuple[float, ...]
    solve: str
    """One of SOLVABLE."""
    values: Choices
    """The values of that axis to solve over."""


@dataclass(frozen=True, kw_only=True)
class LatencyPlan:
    """How latency is predicted."""

    table: str
    """File of `scalesearch calibrate`, which names the device; relative to the working directory, as data.source."""
    timings: str = ""
    """`LatencyTable.description` when the plan was read: a study is resumed with no other."""


def read_goal(top: Section) -> Budget | FamilyPlan:
    """Read the `band` of `unit: spec`, or the `family` of `unit: family`."""
    unit = top.word("unit", ("spec", "family"), "spec")
    band, family = top.get("band"), top.get("family")
    if unit == "spec":
        if family:
            raise family.error("is for unit: family, but the unit is spec; drop it, or write unit: family")
        return read_band(band or top.need("band"))
    if band:
        raise band.error("is for unit: spec, but the unit is family; give the bands of its members in family.bands")
    return read_family((family or top.need("family")).section())


def read_band(value: Value) -> Budget:
    """Read `{macs: {min: 0.9G, max: 1.1G}, memory: {max: 500MB}, latency: {max: 20ms}}`; it must have a bound."""
    section = value.section()
    for name in section.keys:
        if CALLED.get(name.lower()) in METRICS:
            raise section.need(name).error(misnamed(name))
    bounds = {name: _bound(cost.section(), name) for name in METRICS if (cost := section.get(name))}
    section.done()
    if not bounds:
        raise section.error(f"must bound at least one of {', '.join(METRICS)}, as in macs: {{max: 1G}}")
    return Budget(**bounds)


def misnamed(name: str) -> str:
    """Return the text of an error for a name in CALLED."""
    meant = CALLED[name.lower()]
    meaning = ", the multiply-adds that papers on detectors call FLOPs" if meant == "macs" else ""
    return f"is not a name here: write {meant}{meaning}"


def _bound(section: Section, name: str) -> Bound:
    low, high = section.get("min"), section.get("max")
    section.done()
    if low is None and high is None:
        raise section.error("must have min, max or both, but it has neither")
    least, most = low.quantity(name) if low else 0.0, high.quantity(name) if high else math.inf
    if not most:
        raise section.error("is empty: max must be above 0; give the most that a detector may have")
    if least > most:
        ends = f"{human(least, name)} and {human(most, name)}"
        raise section.error(f"is empty: min must be at most max, but got {ends}")
    return Bound(least, most)


def read_latency(value: Value | None) -> LatencyPlan | None:
    """Read `latency: {table: FILE}`, or None. A resolved plan has its `timings`; else they are read from the file."""
    if value is None:
        return None
    section = value.section()
    file, timings = section.text("table"), section.text("timings", "")
    section.done()
    if not timings and Path(file).is_file():
        try:
            timings = read_table(file).description
        except ValueError as error:
            raise section.error(f"names a file that is no table of timings: {error}") from None
    return LatencyPlan(table=file, timings=timings)


def read_family(section: Section) -> FamilyPlan:
    """Read `family: {bands: [...], phi: [...], solve: {size: {low:, high:, step:}}}`; phi is 0, 1, ... by default."""
    bands = tuple(read_band(item) for item in section.need("bands").items())
    phi = tuple(float(i) for i in range(len(bands)))
    if value := section.get("phi"):
        phi = tuple(item.number() for item in value.items())
        if len(phi) != len(bands):
            raise value.error(f"must have one value for each of the {len(bands)} bands, but got {len(phi)}")
    solve = section.need("solve").section()
    found = {name: read_axis(name, value) for name in SOLVABLE if (value := solve.get(name))}
    solve.done()
    section.done()
    if len(found) != 1:
        raise solve.error(f"must name one axis of {', '.join(SOLVABLE)} with its range, but got {len(found)}")
    ((name, values),) = found.items()
    return FamilyPlan(bands=bands, phi=phi, solve=name, values=values)
