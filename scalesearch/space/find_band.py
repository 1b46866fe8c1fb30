"""`find_band`: the band of a unit, enumerated if the space is small enough, otherwise projected."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np
from numpy.typing import NDArray

from scalesearch.io.progress import bar
from scalesearch.space.band import Band, EmptyBandError, enumerable
from scalesearch.space.blocks import ONE_BY_ONE, Block, by_array, distances, grid_blocks, holds
from scalesearch.space.candidates import Candidate, SpecUnit, Unit, distance, inside, miss
from scalesearch.space.enumerated import EnumeratedBand, PricedBand
from scalesearch.space.projected import ProjectedBand
from scalesearch.space.space import Choices, Point


def find_band(unit: Unit) -> Band:
    """Return the band of `unit`: enumerated up to ENUMERABLE points (ONE_BY_ONE without arrays), else projected.

    Raises EmptyBandError with the nearest miss.
    """
    count = math.prod(len(axis.values) for axis in unit.axes.values())
    if count > enumerable(unit):
        band: Band = ProjectedBand(unit, count)
        band.draw((), np.random.default_rng(0))
        return band
    if isinstance(unit, SpecUnit) and by_array(unit.space, unit.budget):
        return _enumerate_blocks(unit, count)
    return _enumerate(unit, count)


def _enumerate_blocks(unit: SpecUnit, count: int) -> EnumeratedBand | PricedBand:
    """Enumerate as `_enumerate`, priced over arrays; a `PricedBand` if more than ONE_BY_ONE candidates are inside."""
    parts: list[dict[str, NDArray[np.int64]]] = []
    rows: list[NDArray[np.int64]] = []
    closest: tuple[float, Point] = (math.inf, {})
    done, update = 0, bar("pricing the space")
    for block in grid_blocks(unit.space, unit.meter, unit.budget):
        hits = np.flatnonzero(holds(block, unit.budget, unit.meter))
        parts.append({name: index[hits] for name, index in block.at.items()})
        rows.append(block.identities(hits))
        closest = min(closest, _closest(block, unit), key=lambda pair: pair[0])
        done += len(block.resolved)
        update(done, count, "points")
    resolved = np.concatenate(rows)
    if not len(resolved):
        raise _empty(unit, count, unit.solve(closest[1]))
    # Equal rows are equal detectors: the first in grid order is kept.
    first = np.sort(np.unique(resolved, axis=0, return_index=True)[1])
    at = {name: np.concatenate([part[name] for part in parts])[first] for name in unit.axes}
    summary = f"{len(resolved)} of {count} points inside, {len(first)} distinct"
    band = PricedBand(unit, at, len(first), summary)
    if len(first) > ONE_BY_ONE:
        return band
    found = {candidate.key: candidate for candidate in map(band.candidate, reversed(range(len(first))))}
    return EnumeratedBand(
        unit, tuple(reversed(found.values())), f"{len(resolved)} of {count} points inside, {len(found)} distinct"
    )


def _closest(block: Block, unit: SpecUnit) -> tuple[float, Point]:
    far = distances(block, unit.budget)
    i = int(far.argmin())
    return float(far[i]), block.point(i)


def _empty(unit: Unit, count: int, closest: Candidate) -> EmptyBandError:
    return EmptyBandError(
        f"the band must hold a candidate, but none of {count} is inside "
        f"({'; '.join(str(budget) for budget in unit.budgets)}); the nearest misses: "
        f"{miss(unit, closest)}, at {closest.point or 'the only point'}; widen the band or the space"
    )


def _enumerate(unit: Unit, count: int) -> EnumeratedBand:
    found: dict[tuple[str, ...], Candidate] = {}
    closest: tuple[float, Candidate | None] = (math.inf, None)
    held, update = 0, bar("pricing the space")
    for done, point in enumerate(_points(unit.axes), 1):
        candidate = unit.solve(point)
        if inside(unit, candidate):
            held += 1
            found.setdefault(candidate.key, candidate)
        elif (far := distance(unit, candidate)) < closest[0]:
            closest = (far, candidate)
        if done % 500 == 0 or done == count:
            update(done, count, "points")
    if not found:
        assert closest[1] is not None, "a space has at least one point"
        raise _empty(unit, count, closest[1])
    return EnumeratedBand(unit, tuple(found.values()), f"{held} of {count} points inside, {len(found)} distinct")


def _points(axes: Mapping[str, Choices]) -> Iterator[Point]:
    for values in product(*(axis.values for axis in axes.values())):
        yield dict(zip(axes, values, strict=True))
