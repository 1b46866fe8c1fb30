"""Points of a space priced over arrays, block by block: the whole space in order, or an endless uniform sample.

Imports NumPy, `arch` and `cost`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.cost.budget import Budget
from scalesearch.cost.metrics import BY_ARRAY, Meter
from scalesearch.space.space import COEFFICIENTS, Point, Space

ENUMERABLE = 5_000_000
"""The most points of a space that is priced whole over arrays: some ten seconds."""
ONE_BY_ONE = 50_000
"""The same for points priced one by one, about 7 s at 7,000 a second; also the most candidates kept as objects."""
BLOCK = 16_384
SLOW_BLOCK = 256
"""Points of a block; the second if points are priced one by one: free graphs, predicted latency."""

_NUMBERS = ("size", "width", "repeats", "head_depth", "aspect", "phi", *COEFFICIENTS)
"""Axes that only change a dimension. Each combination of values on the other axes is a structure of its own."""
_FEW = 2_000
"""The most structures for which pricing over arrays pays."""

Axes = Mapping[str, NDArray[np.int64]]
"""Points, as arrays of indices into the values of each free axis."""


class FeasiblePoint(NamedTuple):
    """A point inside the band."""

    point: Point
    spec: DetectorSpec
    metrics: dict[str, float]


@dataclass(frozen=True)
class Block:
    """Points with their metrics."""

    space: Space
    at: Axes
    metrics: Mapping[str, NDArray[np.int64]]
    bases: tuple[DetectorSpec, ...]
    """One detector of each structure."""
    resolved: NDArray[np.int64]
    """[n, 6]: index of the structure in `bases`, height, width, channels, repeats, head depth."""

    def identities(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """[n, 6]: `resolved` at these indices, with ids of structures: equal rows of any blocks are equal detectors."""
        rows = self.resolved[places]
        for number in np.unique(rows[:, 0]):
            rows[rows[:, 0] == number, 0] = -int(self.bases[number].id, 16)
        return rows

    def point(self, i: int) -> Point:
        """Return the i-th point."""
        return {name: self.space.free[name].values[int(index[i])] for name, index in self.at.items()}

    def inside(self, i: int) -> FeasiblePoint:
        """Return the i-th point, its detector and metrics."""
        point = self.point(i)
        return FeasiblePoint(
            point, self.space.spec(point), {name: int(values[i]) for name, values in self.metrics.items()}
        )


def by_array(space: Space, budget: Budget) -> bool:
    """Whether the space is priced over arrays; otherwise its points are priced one by one."""
    return "latency" not in budget.bounds and math.prod(len(space.free[name].values) for name in _words(space)) <= _FEW


def enumerable(space: Space, budget: Budget) -> int:
    """Return the largest number of points up to which the space is priced whole, for counting and for searching."""
    return ENUMERABLE if by_array(space, budget) else min(ENUMERABLE, ONE_BY_ONE)


def holds(block: Block, budget: Budget, meter: Meter) -> NDArray[np.bool_]:
    """Whether each point is inside; latency is predicted only for points inside all other bounds."""
    held = np.ones(len(block.resolved), dtype=bool)
    for name, bound in budget.bounds.items():
        if name in BY_ARRAY:
            held &= (bound.low <= block.metrics[name]) & (block.metrics[name] <= bound.high)
    if "latency" in budget.bounds:
        for i in np.flatnonzero(held):
            held[i] = budget.holds(meter(block.space.spec(block.point(int(i)))))
    return held


def distances(block: Block, budget: Budget) -> NDArray[np.float64]:
    """Return `Budget.distance` of each point, without latency."""
    far = np.zeros(len(block.resolved))
    for name, bound in budget.bounds.items():
        if name in BY_ARRAY:
            value = np.maximum(block.metrics[name], 1e-9)
            with np.errstate(divide="ignore"):
                far = np.maximum(far, np.maximum(np.log(value / max(bound.high, 1e-9)), np.log(bound.low / value)))
    return far


def grid_blocks(space: Space, meter: Meter, budget: Budget) -> Iterator[Block]:
    """Yield the whole space in its order."""
    shape, names = [len(axis.values) for axis in space.free.values()], list(space.free)
    step = BLOCK if by_array(space, budget) else SLOW_BLOCK
    for start in range(0, space.count, step):
        flat = np.arange(start, min(start + step, space.count))
        index = np.unravel_index(flat, shape) if names else ()
        yield priced_block(space, meter, dict(zip(names, index, strict=True)), len(flat))


def random_blocks(space: Space, meter: Meter, budget: Budget, rng: np.random.Generator) -> Iterator[Block]:
    """Yield uniform points without end."""
    step = BLOCK if by_array(space, budget) else SLOW_BLOCK
    while True:
        at = {name: rng.integers(len(axis.values), size=step) for name, axis in space.free.items()}
        yield priced_block(space, meter, at, step)


def priced_block(space: Space, meter: Meter, at: Axes, count: int) -> Block:
    """Return `count` points with their metrics of BY_ARRAY, priced structure by structure."""
    resolved = np.empty((count, 6), dtype=np.int64)
    resolved[:, 1:] = _dimensions(space, at, count)
    names = [name for name in meter.names if name in BY_ARRAY]
    metrics = {name: np.empty(count, dtype=np.int64) for name in names}
    bases: list[DetectorSpec] = []
    free, words, first = space.free, _words(space), _first(space)
    for place in _groups([at[name] for name in words], count):
        base = space.spec(first | {name: free[name].values[at[name][place[0]]] for name in words})
        resolved[place, 0] = len(bases)
        bases.append(base)
        height, across, width, repeats, depth = resolved[place, 1:].T
        found = meter.grid(
            base,
            size=(height, across),
            width=width,
            repeats=repeats,
            head_depth=depth,
            per_cell=_per_cell(space, base, height, across),
        )
        for name in names:
            metrics[name][place] = found[name]
    return Block(space, at, metrics, tuple(bases), resolved)


def _words(space: Space) -> list[str]:
    """Return the free axes whose combinations of values are structures of their own."""
    numbers = set(_NUMBERS) - ({"phi"} if space.scales_backbone else set())
    return [name for name in space.free if name not in numbers]


def _first(space: Space) -> Point:
    return {name: axis.values[0] for name, axis in space.free.items()}


def _groups(codes: list[NDArray[np.int64]], count: int) -> list[NDArray[np.int64]]:
    """Return the indices of the points in groups that are equal in all of `codes`."""
    if not codes:
        return [np.arange(count)]
    _, place = np.unique(np.stack(codes), axis=1, return_inverse=True)
    order = np.argsort(place.ravel(), kind="stable")
    return np.split(order, np.flatnonzero(np.diff(place.ravel()[order])) + 1)


def _dimensions(space: Space, at: Axes, count: int) -> NDArray[np.int64]:
    """[n, 5]: height, width, channels, repeats and head depth of each point, by the rules of the space."""
    columns: list[tuple[tuple[str, ...], Callable[[DetectorSpec], tuple[int, ...]]]] = [
        (("size", "aspect", "phi", "size_base", "size_step"), lambda spec: spec.size),
        (("width", "phi", "width_base", "width_factor"), lambda spec: (spec.width,)),
        (("repeats", "phi", "repeats_base", "repeats_step"), lambda spec: (spec.repeats,)),
        (("head_depth", "phi", "head_base", "head_step"), lambda spec: (spec.head_depth,)),
    ]
    found = []
    for axes, dimension in columns:
        used = [name for name in axes if name in space.free]
        if not used:
            found.append(np.tile(dimension(space.spec(_first(space))), (count, 1)))
            continue
        # These are few values of few axes: each combination is resolved once.
        shape = [len(space.free[name].values) for name in used]
        codes, place = np.unique(np.ravel_multi_index([at[name] for name in used], shape), return_inverse=True)
        values = []
        for index in zip(*np.unravel_index(codes, shape), strict=True):
            moved = {name: space.free[name].values[int(i)] for name, i in zip(used, index, strict=True)}
            values.append(dimension(space.spec(_first(space) | moved)))
        found.append(np.array(values)[place.ravel()])
    return np.concatenate(found, axis=1)


def _per_cell(
    space: Space, base: DetectorSpec, height: NDArray[np.int64], width: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the anchors per position of each point; fitted anchors differ between frames."""
    if isinstance(space.anchors, Anchors):
        return np.asarray(space.anchors.per_cell)
    anchors, span = space.anchors, (base.topology.min_level, base.topology.max_level)
    codes, place = np.unique(height * 2**16 + width, return_inverse=True)
    cells = np.array([anchors[divmod(int(code), 2**16), *span].per_cell for code in codes], dtype=np.int64)
    return np.asarray(cells[place.ravel()])
