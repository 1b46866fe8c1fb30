"""Bands whose candidates are all listed: as candidates or, if there are very many, as indices along the axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalesearch.space.band import EmptyBandError, Seen
from scalesearch.space.candidates import Candidate, SpecUnit, Unit
from scalesearch.space.features import FeatureTable, features
from scalesearch.space.space import AxisValue, Choices, Point


@dataclass(frozen=True)
class EnumeratedBand:
    """All candidates inside, in grid order, each detector once (points may be isomorphic or round alike)."""

    unit: Unit
    candidates: tuple[Candidate, ...]
    summary: str

    def draw(self, seen: Seen, rng: np.random.Generator) -> Candidate:
        """Return an unseen candidate, uniform over all of them."""
        left = self.unseen(seen)
        return self.candidates[int(rng.choice(left))]

    def grid(self, seen: Seen) -> Candidate:
        """Return the first unseen candidate."""
        return self.candidates[int(self.unseen(seen)[0])]

    def nearest(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate:
        """Return the nearest: by the number of names that differ, then by steps along the numbers; ties at random."""
        left = self.unseen(seen)
        far = _distances(self.unit.axes, self._places[left], _place(self.unit.axes, point))
        ties = left[far <= far.min() + 1e-9]
        return self.candidates[int(rng.choice(ties))]

    @cached_property
    def features(self) -> FeatureTable:
        """The features of all candidates."""
        return features(self.unit, self.candidates)

    def unseen(self, seen: Seen) -> NDArray[np.int64]:
        """Return the positions of the unseen candidates; EmptyBandError if there is none."""
        unseen = np.ones(len(self.candidates), dtype=bool)
        unseen[self.positions(seen)] = False
        if not unseen.any():
            raise EmptyBandError(f"all {len(self.candidates)} candidates inside the band have been tried")
        return np.flatnonzero(unseen)

    def positions(self, keys: Iterable[tuple[str, ...]]) -> list[int]:
        """Return the positions of the candidates with these keys; others are left out."""
        numbers = self._numbers
        return [number for key in keys if (number := numbers.get(key)) is not None]

    def key(self, point: Point) -> tuple[str, ...]:
        """Return the key of a candidate of the band, or of any point."""
        return self._keys.get(tuple(sorted(point.items()))) or self.unit.solve(point).key

    @cached_property
    def _keys(self) -> dict[tuple[tuple[str, AxisValue], ...], tuple[str, ...]]:
        return {tuple(sorted(candidate.point.items())): candidate.key for candidate in self.candidates}

    @cached_property
    def _places(self) -> NDArray[np.float64]:
        return np.array([_place(self.unit.axes, c.point) for c in self.candidates], dtype=float)

    @cached_property
    def _numbers(self) -> dict[tuple[str, ...], int]:
        return {candidate.key: i for i, candidate in enumerate(self.candidates)}


@dataclass(frozen=True)
class PricedBand:
    """A band of very many candidates, in grid order, kept as indices along the axes and made on demand."""

    unit: SpecUnit
    at: Mapping[str, NDArray[np.int64]]
    count: int
    summary: str

    def candidate(self, i: int) -> Candidate:
        """Return the i-th candidate."""
        return self.unit.solve({name: self.unit.axes[name].values[int(index[i])] for name, index in self.at.items()})

    def draw(self, seen: Seen, rng: np.random.Generator) -> Candidate:
        """Return an unseen candidate, uniform over all of them: seen ones are rejected."""
        for i in rng.integers(self.count, size=len(seen) + 1):
            if (candidate := self.candidate(int(i))).key not in seen:
                return candidate
        for i in rng.permutation(self.count):
            if (candidate := self.candidate(int(i))).key not in seen:
                return candidate
        raise self._used_up()

    def grid(self, seen: Seen) -> Candidate:
        """Return the first unseen candidate."""
        for i in range(self.count):
            if (candidate := self.candidate(i)).key not in seen:
                return candidate
        raise self._used_up()

    def nearest(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate:
        """Return the nearest: by the number of names that differ, then by steps along the numbers; ties at random."""
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


def _place(axes: Mapping[str, Choices], point: Mapping[str, AxisValue]) -> list[float]:
    """Return the point as positions along its axes: numbers in 0..1 by rank, names by index."""
    return [axis.ranks[point[name]] / (1 if axis.named else len(axis.values) - 1) for name, axis in axes.items()]


def _distances(axes: Mapping[str, Choices], places: NDArray[np.float64], place: list[float]) -> NDArray[np.float64]:
    words = np.array([axis.named for axis in axes.values()], dtype=bool)
    gap = np.abs(places - np.array(place))
    # A differing name outweighs all numbers, whose sum is at most the number of axes.
    return np.asarray((gap[:, words] > 0).sum(1) * len(words) + gap[:, ~words].sum(1), dtype=np.float64)
