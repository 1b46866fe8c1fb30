"""How much of the space of objectives a set of points dominates. Pure functions over NumPy arrays, less being better."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

_DIGITS = 12
"""Significant digits by which two gains differ: the order of a sum, which a processor chooses, moves the sixteenth."""


def hypervolume(points: Points, reference: Points) -> float:
    """The volume between `reference` [M] and the points [N, M] that are better than it in every objective.

    By sweeping the last objective (Fonseca et al. 2006, without their bookkeeping): exact, N**(M - 1) log N.
    """
    points = points[(points < reference).all(axis=1)]
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - points[:, 0].min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    if points.shape[1] == 2:
        # Descending stairs: each point adds what is below the lowest one before it.
        lowest = np.minimum.accumulate(np.concatenate([reference[:1], points[:-1, 0]]))
        return float((np.maximum(lowest - points[:, 0], 0.0) * (reference[1] - points[:, 1])).sum())
    heights = np.diff(np.append(points[:, -1], reference[-1]))
    return float(
        sum(
            height * hypervolume(points[: i + 1, :-1], reference[:-1]) for i, height in enumerate(heights) if height > 0
        )
    )


def by_gain(points: Points, reference: Points) -> Iterator[int]:
    """All N positions, best first: rank by rank, within a rank always the one that adds most hypervolume to its rank.

    A rank is what the ranks before it leave non-dominated. Gains that are equal to 12 digits are ordered by the first
    objective, then by position, so that the order is a function of the points on any processor. Lazy: the first few
    cost little.
    """
    for rank in ranks(points):
        yield from _greedy(points, rank, reference)


def first_by_gain(points: Points, reference: Points, count: int, wanted: Callable[[int], bool]) -> int | None:
    """The first position that is `wanted` among the first `count` of `by_gain`, or None.

    Only a rank that has one is put in order, which is what takes long.
    """
    passed = 0
    for rank in ranks(points):
        if passed >= count:
            return None
        if any(wanted(i) for i in rank):
            best = islice(_greedy(points, rank, reference), count - passed)
            if (found := next(filter(wanted, best), None)) is not None:
                return found
        passed += len(rank)
    return None


def ranks(points: Points) -> Iterator[list[int]]:
    """The positions of the non-dominated, then of those that are so without them, and so on; each in ascending order."""
    return _ranks_of_two(points) if points.shape[1] == 2 else _ranks_of_many(points)


def _ranks_of_two(points: Points) -> Iterator[list[int]]:
    """Ascending in the first objective, a point is non-dominated where its second is below all before it."""
    distinct, where = np.unique(points, axis=0, return_inverse=True)
    rank_of = np.empty(len(distinct), dtype=np.int64)
    left, number = np.arange(len(distinct)), 0
    while len(left):
        seconds = distinct[left, 1]
        front = np.ones(len(left), dtype=bool)
        front[1:] = seconds[1:] < np.minimum.accumulate(seconds)[:-1]
        rank_of[left[front]] = number
        left, number = left[~front], number + 1
    ranked = rank_of[where.reshape(-1)]
    order = np.argsort(ranked, kind="stable")
    for rank in np.split(order, np.searchsorted(ranked[order], np.arange(1, number))):
        yield rank.tolist()


def _ranks_of_many(points: Points) -> Iterator[list[int]]:
    """By comparing all pairs once: N * N * M."""
    beats = np.zeros((len(points), len(points)), dtype=bool)
    for i, point in enumerate(points):
        beats[i] = (point <= points).all(axis=1) & (point < points).any(axis=1)
    beaten = beats.sum(axis=0)
    while len(rank := np.flatnonzero(beaten == 0)):
        yield rank.tolist()
        beaten[rank] = -1
        beaten[beaten > 0] -= beats[rank].sum(axis=0)[beaten > 0]


def _greedy(points: Points, rank: list[int], reference: Points) -> Iterator[int]:
    """One rank, always the one next that adds most to those before it."""
    rest, chosen = list(rank), list[int]()
    gains = _Gains(points[rank], reference) if points.shape[1] == 2 else None
    places = {i: place for place, i in enumerate(rank)}
    while rest:
        near = rest if gains is None else [rank[place] for place in gains.largest()]
        if len(near) > 1:
            near = [min((-_rounded(hypervolume(points[[*chosen, i]], reference)), points[i, 0], i) for i in near)[2]]
        best = near[0]
        if gains is not None:
            gains.take(places[best])
        rest.remove(best)
        chosen.append(best)
        yield best


def _rounded(volume: float) -> float:
    return float(f"{volume:.{_DIGITS - 1}e}")


_CLOSE = 1e-9
"""Of the volume: gains nearer than this are compared by the whole hypervolume, whose sums are rounded otherwise."""


class _Gains:
    """What each point of a rank in two objectives adds to those taken: a rectangle between its neighbours among them."""

    def __init__(self, points: Points, reference: Points) -> None:
        self._points, self._volume = points, 0.0
        self._corner = np.tile(reference, (len(points), 1))
        self._left = np.ones(len(points), dtype=bool)

    def _all(self) -> Points:
        return np.asarray(np.maximum(self._corner - self._points, 0.0).prod(axis=1), dtype=np.float64)

    def largest(self) -> list[int]:
        """The place that adds most, or all that may be it but for rounding."""
        totals = np.where(self._left, self._volume + self._all(), -np.inf)
        return np.flatnonzero(totals >= totals.max() * (1 - _CLOSE)).tolist()

    def take(self, place: int) -> None:
        """From now on this point is one of those taken."""
        point = self._points[place]
        self._volume += float(self._all()[place])
        self._left[place] = False
        # Of a rank the better in one objective is the worse in the other; an equal point adds nothing any more.
        for one, other in ((0, 1), (1, 0)):
            behind = self._points[:, one] >= point[one]
            self._corner[behind, other] = np.minimum(self._corner[behind, other], point[other])
