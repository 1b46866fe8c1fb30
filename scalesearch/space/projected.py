"""The band of a space too large to enumerate: a point is moved into it by its slice, along one number, or by a walk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from scalesearch.space.band import EmptyBandError, Seen, enumerable
from scalesearch.space.blocks import holds, random_blocks
from scalesearch.space.candidates import Candidate, SpecUnit, Unit, distance, inside
from scalesearch.space.slices import Slices, slices_of
from scalesearch.space.space import Point, shown

_TRIES = 8_000
"""Points that the walks from one asked point may price before they give up, about a second; usually it is 100 to 300."""

_OTHERS = 12
"""Slices beside the asked one that are looked into before a walk; points of a slice beside those seen."""

_BLOCKS = 4
"""Blocks of points that a draw from a larger space looks for one inside in, before it moves one there."""

_STEPS = 200
"""Points that a walk into the band may price before it starts elsewhere."""


@dataclass(frozen=True)
class ProjectedBand:
    """A space too large to enumerate: drawn from in blocks; a point is moved into the band by its slice or by a walk."""

    unit: Unit
    count: int

    @property
    def summary(self) -> str:
        """The size of the space; `space.feasible.share` estimates the share inside."""
        return f"{self.count:,} points, too many to enumerate: candidates are drawn or solved into the band"

    def draw(self, seen: Seen, rng: np.random.Generator) -> Candidate:
        """Uniform over the unseen points inside, where blocks of points find some; else any point, moved into the band."""
        if isinstance(self.unit, SpecUnit):
            blocks = random_blocks(self.unit.space, self.unit.meter, self.unit.budget, rng)
            for _, block in zip(range(_BLOCKS), blocks, strict=False):
                for i in np.flatnonzero(holds(block, self.unit.budget, self.unit.meter)):
                    if (candidate := self.unit.solve(block.point(int(i)))).key not in seen:
                        return candidate
        return self.nearest(self._random(rng), seen, rng)

    def grid(self, seen: Seen) -> Candidate:
        """Not offered: the order of a grid this large means nothing."""
        raise EmptyBandError(
            f"the grid sampler enumerates at most {enumerable(self.unit)} points, but the space has {self.count}; "
            "use coarser steps or another sampler"
        )

    def nearest(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate:
        """The nearest of its slice, or moved along one number; else with another name; else found by a walk."""
        if found := self._in_slice(point, seen, rng) or self._along(point, seen):
            return found
        for _ in range(_OTHERS):
            if found := self._in_slice(self._renamed(point, rng), seen, rng):
                return found
        start = dict(point)
        for spent in range(0, _TRIES, _STEPS):
            if found := self._walk(start, seen, rng):
                return found
            # Further and further from the asked point, half way through from anywhere.
            start = {**point, **{n: v for n, v in self._random(rng).items() if rng.random() < 2 * spent / _TRIES}}
        raise EmptyBandError(
            f"no unseen candidate inside the band was found from {shown(point)} within {_TRIES} prices; "
            "widen the band or the space"
        )

    @cached_property
    def _slices(self) -> Slices | None:
        return slices_of(self.unit)

    def _in_slice(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate | None:
        """The unseen candidate inside nearest to `point` of those that differ from it in dimensions only; ties at random."""
        if self._slices is None:
            return None
        ranks = self._slices.inside(point)
        here = self._slices.places(self._slices.ranks(point))
        far = np.abs(self._slices.places(ranks) - here).sum(1) + 1e-9 * rng.random(len(ranks))
        for i in np.argsort(far)[: len(seen) + _OTHERS]:
            candidate = self.unit.solve(self._slices.point(point, ranks[i]))
            if inside(self.unit, candidate) and candidate.key not in seen:
                return candidate
        return None

    def _renamed(self, point: Point, rng: np.random.Generator) -> Point:
        """`point` with another value on one of the axes that its slice holds."""
        sliced = self._slices.axes if self._slices else {}
        name = str(rng.choice([name for name in self.unit.axes if name not in sliced] or list(self.unit.axes)))
        values = self.unit.axes[name].values
        return {**point, name: values[int(rng.integers(len(values)))]}

    def _walk(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate | None:
        """The first unseen candidate inside on a walk from `point` that never goes away from the band.

        It finds what no single number leads to. A step changes one axis or two, so that one can make up for the other:
        in a band of 0.3 % a walk arrives in 68 of 100 cases then, with one axis a step in 40.
        """
        here, far = dict(point), math.inf
        for _ in range(_STEPS):
            there = self._stepped(here, rng)
            candidate = self.unit.solve(there)
            if inside(self.unit, candidate) and candidate.key not in seen:
                return candidate
            if (now := distance(self.unit, candidate)) <= far:
                here, far = there, now
        return None

    def _stepped(self, point: Point, rng: np.random.Generator) -> Point:
        there, names = dict(point), list(self.unit.axes)
        for name in rng.choice(names, size=min(len(names), int(rng.integers(1, 3))), replace=False).tolist():
            axis = self.unit.axes[name]
            rank = int(rng.integers(len(axis.values)))
            if not axis.named and rng.random() < 0.5:
                rank = min(max(axis.ranks[there[name]] + int(rng.integers(-2, 3)), 0), len(axis.values) - 1)
            there[name] = axis.ordered[rank]
        return there

    def _random(self, rng: np.random.Generator) -> Point:
        return {name: axis.values[int(rng.integers(len(axis.values)))] for name, axis in self.unit.axes.items()}

    def _along(self, point: Point, seen: Seen) -> Candidate | None:
        """Where there are no slices: the unseen candidate inside nearest to `point` along one number."""
        genes = self.unit.genes.axes if self.unit.genes else {}
        for name, axis in self.unit.axes.items():
            if axis.named or name in genes or (self._slices and name in self._slices.axes):
                continue
            here = axis.values.index(point[name])
            for i in sorted(range(len(axis.values)), key=lambda i: abs(i - here)):
                candidate = self.unit.solve({**point, name: axis.values[i]})
                if inside(self.unit, candidate) and candidate.key not in seen:
                    return candidate
        return None
