"""Every candidate of a space too large to price one by one: priced as arrays, and only those inside are made.

A search does without it; a rehearsal has to know the whole band to say how much of it was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np

from scalesearch.arch.cost import price_grid
from scalesearch.arch.space import Point
from scalesearch.search.band import Band, EmptyBandError, EnumeratedBand, Watch, find_band
from scalesearch.search.unit import Candidate, SpecUnit, Unit

MOST = 5_000_000
"""Points of a space that is swept."""
_DIMENSIONS = ("size", "width", "repeats", "head_depth")


def sweep(unit: Unit, watch: Watch | None = None) -> Band:
    """The whole band where it can be had, else `find_band`'s. Raises EmptyBandError as that."""
    if not isinstance(unit, SpecUnit) or unit.genes or not set(_DIMENSIONS) <= set(unit.space.axes):
        return find_band(unit, watch)
    if unit.space.count > MOST:
        return find_band(unit, watch)
    found: dict[tuple[str, ...], Candidate] = {}
    held = 0
    for point in _points_inside(unit, watch):
        candidate = unit.solve(point)
        held += 1
        found.setdefault(candidate.key, candidate)
    if not found:
        raise EmptyBandError(
            f"the band must hold a candidate, but none of {unit.space.count:,} points is inside {unit.budget}; "
            "widen the band or the space"
        )
    summary = f"{held:,} of {unit.space.count:,} points inside ({held / unit.space.count:.2%}), {len(found):,} distinct"
    return EnumeratedBand(unit, tuple(found.values()), summary)


def _points_inside(unit: SpecUnit, watch: Watch | None) -> Iterator[Point]:
    space = unit.space
    sizes, *others = (space.axes[name].values for name in _DIMENSIONS)
    names = [name for name in space.free if name not in _DIMENSIONS]
    combinations = list(product(*(space.free[name].values for name in names)))
    for done, values in enumerate(combinations, 1):
        rest: Point = dict(zip(names, values, strict=True))
        at = {name: space.axes[name].values[0] for name in _DIMENSIONS}
        sides = np.array([space.spec({**at, **rest, "size": size}).size for size in sizes])
        width, repeats, depth = (np.array(axis)[shape] for axis, shape in zip(others, _SHAPES, strict=True))
        cost = price_grid(
            space.spec({**at, **rest}),
            size=(sides[:, 0, None, None, None], sides[:, 1, None, None, None]),
            width=width,
            repeats=repeats,
            head_depth=depth,
        )
        inside = np.ones(np.shape(cost.macs), dtype=bool)
        for name, bound in unit.budget.bounds.items():
            inside &= (getattr(cost, name) >= bound.low) & (getattr(cost, name) <= bound.high)
        for place in np.argwhere(inside):
            dimensions = {name: space.axes[name].values[i] for name, i in zip(_DIMENSIONS, place, strict=True)}
            yield {name: ({**dimensions, **rest})[name] for name in space.free}
        if watch:
            watch(done, len(combinations))


_SHAPES = ((slice(None), None, None), (slice(None), None), (slice(None),))
"""Of width, repeats and head depth, so that they broadcast with the size to a grid."""
