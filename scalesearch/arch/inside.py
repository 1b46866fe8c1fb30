"""How much of a space is inside a band, and what: enumerated, estimated or drawn, priced over arrays of points.

    share(space, budget)            the share of the points inside, exact where the space can be priced whole
    draws(space, budget, rng, 5)    five points from inside, each uniform over all that are
    enumerated(space, budget)       every point inside, in the order of the space

Standard library, NumPy and arch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalesearch.arch.budget import Budget
from scalesearch.arch.figures import BY_ARRAY, Meter, meter_of
from scalesearch.arch.space import COEFFICIENTS, Point, Space
from scalesearch.arch.spec import Anchors, DetectorSpec

WHOLE = 5_000_000
"""Points up to which a space is priced whole: some ten seconds."""
BLOCK = 16_384
SAMPLE = 200_000
"""Points that estimate a share: an interval of at most 0.5 %."""
SLOW_WHOLE, SLOW_BLOCK, SLOW_SAMPLE = 20_000, 256, 4_000
"""The same where each point has a price of its own: free graphs, predicted latency."""

_NUMBERS = ("size", "width", "repeats", "head_depth", "aspect", "phi", *COEFFICIENTS)
"""Axes that only move a dimension; of any other axis, each combination of values is a structure of its own."""
_FEW = 2_000
"""Structures up to which pricing by arrays pays."""
_EMPTY = 100
"""Blocks without a point inside before a draw gives up."""

Axes = Mapping[str, NDArray[np.int64]]
"""Points as the index of each one's value on every free axis."""


class Inside(NamedTuple):
    """A point inside the band."""

    point: Point
    spec: DetectorSpec
    figures: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Share:
    """How many of `priced` points are inside; all points of the space, or a uniform sample of them."""

    points: int
    priced: int
    held: int

    @property
    def exact(self) -> bool:
        """Whether every point was priced."""
        return self.priced == self.points

    @property
    def value(self) -> float:
        """The share inside."""
        return self.held / self.priced

    @property
    def interval(self) -> tuple[float, float]:
        """95 % around it (Wilson, which is right also where nothing was held); the value itself where exact."""
        if self.exact:
            return self.value, self.value
        z, n, p = 1.96, self.priced, self.value
        middle, reach = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (middle - reach) / (1 + z * z / n)), min(1.0, (middle + reach) / (1 + z * z / n))

    def __str__(self) -> str:
        if self.exact:
            return f"{self.held:,} of {self.points:,} points inside ({_percent(self.value)})"
        low, high = (_percent(end) for end in self.interval)
        told = _percent(self.value)
        return f"{told} of {self.points:,} points inside ({low} .. {high}, from {self.priced:,} of them)"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


@dataclass(frozen=True)
class Block:
    """Points with their prices."""

    space: Space
    at: Axes
    figures: Mapping[str, NDArray[np.int64]]
    bases: tuple[DetectorSpec, ...]
    """One detector of each structure."""
    resolved: NDArray[np.int64]
    """[n, 6]: number of the structure in `bases`, height, width, channels, repeats, head depth."""

    def identities(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """[n, 6]: `resolved` at these places with identities of structures: equal rows, of any block, are one detector."""
        rows = self.resolved[places]
        for number in np.unique(rows[:, 0]):
            rows[rows[:, 0] == number, 0] = -int(self.bases[number].id, 16)
        return rows

    def point(self, i: int) -> Point:
        """The i-th point."""
        return {name: self.space.free[name].values[int(index[i])] for name, index in self.at.items()}

    def inside(self, i: int) -> Inside:
        """The i-th point, its detector and figures."""
        point = self.point(i)
        return Inside(point, self.space.spec(point), {name: int(values[i]) for name, values in self.figures.items()})


def by_array(space: Space, budget: Budget) -> bool:
    """Whether the space is priced over arrays; else each point has a price of its own."""
    return "latency" not in budget.bounds and math.prod(len(space.free[name].values) for name in _words(space)) <= _FEW


def share(
    space: Space,
    budget: Budget,
    meter: Meter | None = None,
    rng: np.random.Generator | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> Share:
    """The share of the points of `space` inside `budget`: exact up to WHOLE points, else estimated by a uniform sample.

    `meter` is needed where the band has a latency, which it predicts.
    """
    meter, rng = meter or meter_of(budget.bounds), rng or np.random.default_rng(0)
    whole, sample = (WHOLE, SAMPLE) if by_array(space, budget) else (SLOW_WHOLE, SLOW_SAMPLE)
    blocks = grid_blocks(space, meter, budget) if space.count <= whole else random_blocks(space, meter, budget, rng)
    goal, priced, held = sample if space.count > whole else space.count, 0, 0
    for block in blocks:
        mask = holds(block, budget, meter)[: goal - priced]
        held += int(mask.sum())
        priced += len(mask)
        if watch:
            watch(priced, goal)
        if priced == goal:
            break
    return Share(points=space.count, priced=priced, held=held)


def enumerated(space: Space, budget: Budget, meter: Meter | None = None) -> Iterator[Inside]:
    """Every point inside, the last axis moving fastest; in as many blocks as the space has."""
    meter = meter or meter_of(budget.bounds)
    for block in grid_blocks(space, meter, budget):
        for i in np.flatnonzero(holds(block, budget, meter)):
            yield _measured(block.inside(int(i)), meter)


def draws(
    space: Space, budget: Budget, rng: np.random.Generator, count: int = 1, meter: Meter | None = None
) -> list[Inside]:
    """`count` points from inside, each uniform over all points inside: blocks are drawn, and what is outside rejected.

    ValueError where many blocks hold none: the share inside is too small to find by drawing.
    """
    meter, empty, tried = meter or meter_of(budget.bounds), 0, 0
    found: list[Inside] = []
    for block in random_blocks(space, meter, budget, rng):
        hits = np.flatnonzero(holds(block, budget, meter))[: count - len(found)]
        found += [_measured(block.inside(int(i)), meter) for i in hits]
        if len(found) == count:
            break
        empty, tried = (0 if len(hits) else empty + 1), tried + len(block.resolved)
        if empty == _EMPTY:
            raise ValueError(f"no point inside {budget} was drawn among {tried:,} of {space.count:,}; widen the band")
    return found


def nearest_miss(space: Space, budget: Budget, meter: Meter | None = None, watch: Any = None) -> Inside:
    """The point nearest to the band (by `Budget.distance`), the first of equals; of a sample where that is all.

    A latency counts for nothing here.
    """
    meter = meter or meter_of(budget.bounds)
    whole, sample = (WHOLE, SAMPLE) if by_array(space, budget) else (SLOW_WHOLE, SLOW_SAMPLE)
    if space.count <= whole:
        blocks, goal = grid_blocks(space, meter, budget), space.count
    else:
        blocks, goal = random_blocks(space, meter, budget, np.random.default_rng(0)), sample
    best, at, priced = math.inf, None, 0
    for block in blocks:
        far = distances(block, budget)
        i = int(far.argmin())
        if far[i] < best:
            best, at = float(far[i]), block.inside(i)
        priced += len(far)
        if priced >= goal:
            break
    assert at is not None, "a space has at least one point"
    return _measured(at, meter)


def holds(block: Block, budget: Budget, meter: Meter) -> NDArray[np.bool_]:
    """Which points are inside; a latency is predicted only of those that every other bound holds."""
    held = np.ones(len(block.resolved), dtype=bool)
    for name, bound in budget.bounds.items():
        if name in BY_ARRAY:
            held &= (bound.low <= block.figures[name]) & (block.figures[name] <= bound.high)
    if "latency" in budget.bounds:
        for i in np.flatnonzero(held):
            held[i] = budget.holds(meter(block.space.spec(block.point(int(i)))))
    return held


def distances(block: Block, budget: Budget) -> NDArray[np.float64]:
    """`Budget.distance` of each point, latency aside."""
    far = np.zeros(len(block.resolved))
    for name, bound in budget.bounds.items():
        if name in BY_ARRAY:
            value = np.maximum(block.figures[name], 1e-9)
            with np.errstate(divide="ignore"):
                far = np.maximum(far, np.maximum(np.log(value / max(bound.high, 1e-9)), np.log(bound.low / value)))
    return far


def _measured(one: Inside, meter: Meter) -> Inside:
    """With the figures that arrays do not have."""
    return one if len(one.figures) == len(meter.names) else one._replace(figures=meter(one.spec))


# ---- blocks ----


def grid_blocks(space: Space, meter: Meter, budget: Budget) -> Iterator[Block]:
    """The whole space in its order."""
    shape, names = [len(axis.values) for axis in space.free.values()], list(space.free)
    step = BLOCK if by_array(space, budget) else SLOW_BLOCK
    for start in range(0, space.count, step):
        flat = np.arange(start, min(start + step, space.count))
        index = np.unravel_index(flat, shape) if names else ()
        yield priced(space, meter, dict(zip(names, index, strict=True)), len(flat))


def random_blocks(space: Space, meter: Meter, budget: Budget, rng: np.random.Generator) -> Iterator[Block]:
    """Uniform points without end."""
    step = BLOCK if by_array(space, budget) else SLOW_BLOCK
    while True:
        at = {name: rng.integers(len(axis.values), size=step) for name, axis in space.free.items()}
        yield priced(space, meter, at, step)


def priced(space: Space, meter: Meter, at: Axes, count: int) -> Block:
    """`count` points with their figures of BY_ARRAY, structure by structure."""
    resolved = np.empty((count, 6), dtype=np.int64)
    resolved[:, 1:] = _dimensions(space, at, count)
    names = [name for name in meter.names if name in BY_ARRAY]
    figures = {name: np.empty(count, dtype=np.int64) for name in names}
    bases: list[DetectorSpec] = []
    for place in _groups([at[name] for name in _words(space)], count):
        base = space.spec(_first(space) | {name: space.free[name].values[at[name][place[0]]] for name in _words(space)})
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
            figures[name][place] = found[name]
    return Block(space, at, figures, tuple(bases), resolved)


def _words(space: Space) -> list[str]:
    """The free axes of which each combination is a structure of its own."""
    numbers = set(_NUMBERS) - ({"phi"} if space.scales_backbone else set())
    return [name for name in space.free if name not in numbers]


def _first(space: Space) -> Point:
    return {name: axis.values[0] for name, axis in space.free.items()}


def _groups(codes: list[NDArray[np.int64]], count: int) -> list[NDArray[np.int64]]:
    """Which points have the same values in all of `codes`."""
    if not codes:
        return [np.arange(count)]
    _, place = np.unique(np.stack(codes), axis=1, return_inverse=True)
    order = np.argsort(place.ravel(), kind="stable")
    return np.split(order, np.flatnonzero(np.diff(place.ravel()[order])) + 1)


def _dimensions(space: Space, at: Axes, count: int) -> NDArray[np.int64]:
    """[n, 5]: height, width, channels, repeats and head depth of each point, by the space's own rules."""
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
        # Few values of few axes: each combination is asked of the space once.
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
    """Anchors at a position: fitted ones differ from frame to frame."""
    if isinstance(space.anchors, Anchors):
        return np.asarray(space.anchors.per_cell)
    anchors, span = space.anchors, (base.topology.min_level, base.topology.max_level)
    codes, place = np.unique(height * 2**16 + width, return_inverse=True)
    cells = np.array([anchors[divmod(int(code), 2**16), *span].per_cell for code in codes], dtype=np.int64)
    return np.asarray(cells[place.ravel()])
