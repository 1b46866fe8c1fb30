"""The candidates inside the band: all of them where the space can be enumerated, else drawn and found by solving.

Every form answers the same three questions, each a pure function of its arguments: a uniform draw,
the n-th point of the grid, and the unseen candidate nearest to a point that a sampler asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from scalesearch.arch.blocks import Block, by_array, distances, grid_blocks, holds, random_blocks
from scalesearch.arch.space import Choices, Point, Value, shown
from scalesearch.search.slices import Slices, slices_of
from scalesearch.search.unit import Candidate, SpecUnit, Unit, distance, inside, miss

ENUMERABLE = 5_000_000
"""Points up to which a space that is priced over arrays is priced whole: some ten seconds."""

ONE_BY_ONE = 50_000
"""Points up to which any other is, and candidates that are held as such: about 7 s at 7,000 a second."""

_TRIES = 8_000
"""Points that the walks from one asked point may price before they give up, about a second; usually it is 100 to 300."""

_OTHERS = 12
"""Slices beside the asked one that are looked into before a walk; points of a slice beside those seen."""

_BLOCKS = 4
"""Blocks of points that a draw from a larger space looks for one inside in, before it moves one there."""

_STEPS = 200
"""Points that a walk into the band may price before it starts elsewhere."""

Seen = Collection[tuple[str, ...]]
Watch = Callable[[int, int], None]


class EmptyBandError(ValueError):
    """No candidate, or no unseen one, is inside the band."""


class Band(Protocol):
    """The candidates inside the band of a unit."""

    @property
    def unit(self) -> Unit:
        """Whose candidates they are."""

    def draw(self, seen: Seen, rng: np.random.Generator) -> Candidate:
        """An unseen candidate at random; EmptyBandError where there is none."""

    def nearest(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate:
        """The unseen candidate nearest to `point`; EmptyBandError where there is none."""

    def grid(self, seen: Seen) -> Candidate:
        """The first unseen candidate in the order of the axes; EmptyBandError where there is none."""

    @property
    def summary(self) -> str:
        """How large the space is and how much of it is inside."""


def find_band(unit: Unit, watch: Watch | None = None) -> Band:
    """The band of `unit`: enumerated up to ENUMERABLE points (ONE_BY_ONE where arrays do not serve), else solved.

    `watch(done, total)` hears of the enumeration. Raises EmptyBandError with the nearest miss.
    """
    count = math.prod(len(axis.values) for axis in unit.axes.values())
    if count > enumerable(unit):
        band: Band = SolvedBand(unit, count)
        band.draw((), np.random.default_rng(0))
        return band
    if isinstance(unit, SpecUnit) and by_array(unit.space, unit.budget):
        return _enumerate_blocks(unit, count, watch)
    return _enumerate(unit, count, watch)


def enumerable(unit: Unit) -> int:
    """Points up to which the space of `unit` is enumerated."""
    arrays = isinstance(unit, SpecUnit) and by_array(unit.space, unit.budget)
    return ENUMERABLE if arrays else min(ENUMERABLE, ONE_BY_ONE)


def _enumerate_blocks(unit: SpecUnit, count: int, watch: Watch | None) -> EnumeratedBand | PricedBand:
    """As `_enumerate`, by arrays of prices; where very many are inside, they become candidates when they are asked for."""
    parts: list[dict[str, NDArray[np.int64]]] = []
    rows: list[NDArray[np.int64]] = []
    closest: tuple[float, Point] = (math.inf, {})
    done = 0
    for block in grid_blocks(unit.space, unit.meter, unit.budget):
        hits = np.flatnonzero(holds(block, unit.budget, unit.meter))
        parts.append({name: index[hits] for name, index in block.at.items()})
        rows.append(block.identities(hits))
        closest = min(closest, _closest(block, unit), key=lambda pair: pair[0])
        done += len(block.resolved)
        if watch:
            watch(done, count)
    resolved = np.concatenate(rows)
    if not len(resolved):
        raise _empty(unit, count, unit.solve(closest[1]))
    # Equal rows are equal detectors: the first of them stays, in grid order.
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


def _enumerate(unit: Unit, count: int, watch: Watch | None) -> EnumeratedBand:
    found: dict[tuple[str, ...], Candidate] = {}
    closest: tuple[float, Candidate | None] = (math.inf, None)
    held = 0
    for done, point in enumerate(_points(unit.axes), 1):
        candidate = unit.solve(point)
        if inside(unit, candidate):
            held += 1
            found.setdefault(candidate.key, candidate)
        elif (far := distance(unit, candidate)) < closest[0]:
            closest = (far, candidate)
        if watch and (done % 500 == 0 or done == count):
            watch(done, count)
    if not found:
        assert closest[1] is not None, "a space has at least one point"
        raise _empty(unit, count, closest[1])
    return EnumeratedBand(unit, tuple(found.values()), f"{held} of {count} points inside, {len(found)} distinct")


def _points(axes: Mapping[str, Choices]) -> Iterator[Point]:
    for values in product(*(axis.values for axis in axes.values())):
        yield dict(zip(axes, values, strict=True))


@dataclass(frozen=True)
class EnumeratedBand:
    """Every candidate inside, in grid order; isomorphic or equally rounded ones once."""

    unit: Unit
    candidates: tuple[Candidate, ...]
    summary: str

    def draw(self, seen: Seen, rng: np.random.Generator) -> Candidate:
        """Uniform over the unseen candidates."""
        left = self._unseen(seen)
        return self.candidates[int(rng.choice(left))]

    def grid(self, seen: Seen) -> Candidate:
        """The first unseen one."""
        return self.candidates[int(self._unseen(seen)[0])]

    def nearest(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate:
        """By categories that differ, then by steps along the numbers; ties at random."""
        left = self._unseen(seen)
        far = _distances(self.unit.axes, self._places[left], _place(self.unit.axes, point))
        ties = left[far <= far.min() + 1e-9]
        return self.candidates[int(rng.choice(ties))]

    @cached_property
    def _places(self) -> NDArray[np.float64]:
        return np.array([_place(self.unit.axes, c.point) for c in self.candidates], dtype=float)

    @cached_property
    def _numbers(self) -> dict[tuple[str, ...], int]:
        return {candidate.key: i for i, candidate in enumerate(self.candidates)}

    def _unseen(self, seen: Seen) -> NDArray[np.int64]:
        unseen = np.ones(len(self.candidates), dtype=bool)
        unseen[[self._numbers[key] for key in seen if key in self._numbers]] = False
        if not unseen.any():
            raise EmptyBandError(f"all {len(self.candidates)} candidates inside the band have been tried")
        return np.flatnonzero(unseen)


@dataclass(frozen=True)
class PricedBand:
    """Very many candidates inside, in grid order, as indices along the axes; each is made when it is asked for."""

    unit: SpecUnit
    at: Mapping[str, NDArray[np.int64]]
    count: int
    summary: str

    def candidate(self, i: int) -> Candidate:
        """The i-th one."""
        return self.unit.solve({name: self.unit.axes[name].values[int(index[i])] for name, index in self.at.items()})

    def draw(self, seen: Seen, rng: np.random.Generator) -> Candidate:
        """Uniform over the unseen candidates: a seen one is drawn again."""
        for i in rng.integers(self.count, size=len(seen) + 1):
            if (candidate := self.candidate(int(i))).key not in seen:
                return candidate
        for i in rng.permutation(self.count):
            if (candidate := self.candidate(int(i))).key not in seen:
                return candidate
        raise self._used_up()

    def grid(self, seen: Seen) -> Candidate:
        """The first unseen one."""
        for i in range(self.count):
            if (candidate := self.candidate(i)).key not in seen:
                return candidate
        raise self._used_up()

    def nearest(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate:
        """By categories that differ, then by steps along the numbers; ties at random."""
        far = _distances(self.unit.axes, self._places, _place(self.unit.axes, point))
        while np.isfinite(least := far.min()):
            ties = np.flatnonzero(far <= least + 1e-9)
            for i in rng.permutation(ties):
                if (candidate := self.candidate(int(i))).key not in seen:
                    return candidate
            far[ties] = np.inf
        raise self._used_up()

    @cached_property
    def _places(self) -> NDArray[np.float64]:
        places = []
        for name, axis in self.unit.axes.items():
            at = [axis.ranks[value] / (1 if axis.named else len(axis.values) - 1) for value in axis.values]
            places.append(np.array(at)[self.at[name]])
        return np.stack(places, axis=1)

    def _used_up(self) -> EmptyBandError:
        return EmptyBandError(f"all {self.count} candidates inside the band have been tried")


@dataclass(frozen=True)
class SolvedBand:
    """A space too large to enumerate: drawn from in blocks; a point is moved into the band by its slice or by a walk."""

    unit: Unit
    count: int

    @property
    def summary(self) -> str:
        """The size of the space; `arch.inside.share` estimates the share inside."""
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

    def _in_slice(
        self, point: Point, seen: Seen, rng: np.random.Generator, *, nearest: bool = True
    ) -> Candidate | None:
        """The unseen candidate inside nearest to `point`, or any, of those that differ from it in dimensions only."""
        if self._slices is None:
            return None
        ranks = self._slices.inside(point)
        far = rng.random(len(ranks))
        if nearest:
            here = self._slices.places(self._slices.ranks(point))
            far = np.abs(self._slices.places(ranks) - here).sum(1) + 1e-9 * far
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


def _place(axes: Mapping[str, Choices], point: Mapping[str, Value]) -> list[float]:
    """The point as positions along its axes: numbers in 0..1 by rank, names by their index."""
    return [axis.ranks[point[name]] / (1 if axis.named else len(axis.values) - 1) for name, axis in axes.items()]


def _distances(axes: Mapping[str, Choices], places: NDArray[np.float64], place: list[float]) -> NDArray[np.float64]:
    words = np.array([axis.named for axis in axes.values()], dtype=bool)
    gap = np.abs(places - np.array(place))
    # A differing name outweighs every number: sum of numbers is at most the number of axes.
    return np.asarray((gap[:, words] > 0).sum(1) * len(words) + gap[:, ~words].sum(1), dtype=np.float64)
