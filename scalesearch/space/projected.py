"""The band of a space too large to enumerate: points are moved into it by a slice, along one number, or by a walk."""

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
"""The most points that the walks from one asked point price, about a second; usually it is 100 to 300."""

_OTHERS = 12
"""Further slices that are searched before a walk; also points of a slice that are tried beyond the number seen."""

_BLOCKS = 4
"""Uniform blocks in which `draw` looks for a point inside before it moves one there."""

_STEPS = 200
"""The most points that one walk prices before another starts elsewhere."""


@dataclass(frozen=True)
class ProjectedBand:
    """The band of a space too large to enumerate: sampled in blocks; points are moved into it by a slice or a walk."""

    unit: Unit
    count: int

    @property
    def summary(self) -> str:
        """The size of the space; `space.feasible.share` estimates the share inside."""
        return f"{self.count:,} points, too many to enumerate: candidates are drawn or solved into the band"

    def draw(self, seen: Seen, rng: np.random.Generator) -> Candidate:
        """Return an unseen candidate: uniform if some blocks have one, else a random point moved into the band."""
        if isinstance(self.unit, SpecUnit):
            blocks = random_blocks(self.unit.space, self.unit.meter, self.unit.budget, rng)
            for _, block in zip(range(_BLOCKS), blocks, strict=False):
                for i in np.flatnonzero(holds(block, self.unit.budget, self.unit.meter)):
                    if (candidate := self.unit.solve(block.point(int(i)))).key not in seen:
                        return candidate
        return self.nearest(self._random(rng), seen, rng)

    def grid(self, seen: Seen) -> Candidate:
        """Raise EmptyBandError: the order of a grid this large is meaningless."""
        raise EmptyBandError(
            f"the grid sampler enumerates at most {enumerable(self.unit)} points, but the space has {self.count}; "
            "use coarser steps or another sampler"
        )

    def nearest(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate:
        """Return the nearest in the point's slice or along one number; else one from another slice or a walk."""
        if found := self._in_slice(point, seen, rng) or self._along(point, seen):
            return found
        for _ in range(_OTHERS):
            if found := self._in_slice(self._renamed(point, rng), seen, rng):
                return found
        start = dict(point)
        for spent in range(0, _TRIES, _STEPS):
            if found := self._walk(start, seen, rng):
                return found
            # Each walk starts farther from the asked point; from half of the tries on it starts anywhere.
            start = {**point, **{n: v for n, v in self._random(rng).items() if rng.random() < 2 * spent / _TRIES}}
        raise EmptyBandError(
            f"no unseen candidate inside the band was found from {shown(point)} among {_TRIES} priced points; "
            "widen the band or the space"
        )

    @cached_property
    def _slices(self) -> Slices | None:
        return slices_of(self.unit)

    def _in_slice(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate | None:
        """Return the nearest unseen candidate inside that differs from `point` in dimensions only; ties at random."""
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
        """Return `point` with a random value on one of the axes that its slice keeps fixed."""
        sliced = self._slices.axes if self._slices else {}
        name = str(rng.choice([name for name in self.unit.axes if name not in sliced] or list(self.unit.axes)))
        values = self.unit.axes[name].values
        return {**point, name: values[int(rng.integers(len(values)))]}

    def _walk(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate | None:
        """Return the first unseen candidate inside on a random walk from `point` that never moves away from the band.

        It finds candidates that no single number leads to. A step changes one or two axes, so that one can compensate
        for the other: in a band of 0.3 % 68 of 100 walks arrive, and 40 with one axis a step.
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
        """Return the nearest unseen candidate inside along one number that is not an axis of the slices."""
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
