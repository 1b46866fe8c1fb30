"""The points of a space inside a band: their share, samples, enumeration; priced over arrays of points.

    share(space, budget)            the share of the points inside, exact if the space can be priced whole
    draws(space, budget, rng, 5)    five points from inside, each uniform over all points inside
    enumerated(space, budget)       every point inside, in the order of the space

Imports NumPy, `arch` and `cost`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from scalesearch.cost.budget import Budget
from scalesearch.cost.metrics import Meter, meter_of
from scalesearch.io.progress import bar
from scalesearch.space.blocks import (
    Block,
    FeasiblePoint,
    by_array,
    distances,
    enumerable,
    grid_blocks,
    holds,
    random_blocks,
)
from scalesearch.space.space import Space

SAMPLE = 200_000
"""Points from which a share is estimated: an interval of at most 0.5 %."""
SLOW_SAMPLE = 4_000
"""The same for points that are priced one by one."""
_EMPTY = 100
"""Consecutive blocks without a point inside after which `draws` gives up."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """The number `held` of `priced` points that are inside; all points of the space, or a uniform sample."""

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
        """The 95 % Wilson interval, which also holds for zero points inside; the value itself if exact."""
        if self.exact:
            return self.value, self.value
        z, n, p = 1.96, self.priced, self.value
        middle, reach = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, (middle - reach) / (1 + z * z / n)), min(1.0, (middle + reach) / (1 + z * z / n))

    def __str__(self) -> str:
        if self.exact:
            return f"{self.held:,} of {self.points:,} points inside ({_percent(self.value)})"
        low, high = (_percent(end) for end in self.interval)
        share_inside = _percent(self.value)
        return f"{share_inside} of {self.points:,} points inside ({low} .. {high}, from {self.priced:,} of them)"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def share(
    space: Space,
    budget: Budget,
    meter: Meter | None = None,
    rng: np.random.Generator | None = None,
) -> Share:
    """Return the share of the points of `space` inside `budget`: exact if enumerable, else from a uniform sample.

    `meter` is needed if the band bounds latency, which it predicts.
    """
    meter, rng = meter or meter_of(budget.bounds), rng or np.random.default_rng(0)
    blocks, goal = _whole_or_sample(space, budget, meter, rng)
    update, priced, held = bar("pricing the space"), 0, 0
    for block in blocks:
        mask = holds(block, budget, meter)[: goal - priced]
        held += int(mask.sum())
        priced += len(mask)
        update(priced, goal, "points")
        if priced == goal:
            break
    return Share(points=space.count, priced=priced, held=held)


def enumerated(space: Space, budget: Budget, meter: Meter | None = None) -> Iterator[FeasiblePoint]:
    """Yield every point inside, the last axis varying fastest; the whole space is priced, whatever its size."""
    meter = meter or meter_of(budget.bounds)
    for block in grid_blocks(space, meter, budget):
        for i in np.flatnonzero(holds(block, budget, meter)):
            yield _with_all_metrics(block.inside(int(i)), meter)


def draws(
    space: Space, budget: Budget, rng: np.random.Generator, count: int = 1, meter: Meter | None = None
) -> list[FeasiblePoint]:
    """Return `count` points, each uniform over all points inside, by rejection from uniform blocks.

    ValueError after many blocks without one: the share inside is too small to find by sampling.
    """
    meter, empty, tried = meter or meter_of(budget.bounds), 0, 0
    found: list[FeasiblePoint] = []
    for block in random_blocks(space, meter, budget, rng):
        hits = np.flatnonzero(holds(block, budget, meter))[: count - len(found)]
        found += [_with_all_metrics(block.inside(int(i)), meter) for i in hits]
        if len(found) == count:
            break
        empty, tried = (0 if len(hits) else empty + 1), tried + len(block.resolved)
        if empty == _EMPTY:
            raise ValueError(f"no point inside {budget} was drawn among {tried:,} of {space.count:,}; widen the band")
    return found


def nearest_miss(space: Space, budget: Budget, meter: Meter | None = None) -> FeasiblePoint:
    """Return the point nearest to the band by `Budget.distance` without latency, the first of equals.

    If the space is not enumerable, it is the nearest of a sample.
    """
    meter = meter or meter_of(budget.bounds)
    blocks, goal = _whole_or_sample(space, budget, meter, np.random.default_rng(0))
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
    return _with_all_metrics(at, meter)


def _whole_or_sample(
    space: Space, budget: Budget, meter: Meter, rng: np.random.Generator
) -> tuple[Iterator[Block], int]:
    """Return blocks of the whole space if it can be priced whole, else of uniform points; and the points to use."""
    if space.count <= enumerable(space, budget):
        return grid_blocks(space, meter, budget), space.count
    return random_blocks(space, meter, budget, rng), SAMPLE if by_array(space, budget) else SLOW_SAMPLE


def _with_all_metrics(one: FeasiblePoint, meter: Meter) -> FeasiblePoint:
    """Return the point with the metrics that are not priced over arrays, too."""
    return one if len(one.metrics) == len(meter.names) else one._replace(metrics=meter(one.spec))
