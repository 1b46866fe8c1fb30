"""Hypervolume, and points ranked by it: pure functions over NumPy arrays. All objectives are minimised."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from scalesearch.records.pareto import Points, ranks

_DIGITS = 12
"""Significant digits of compared gains: the order of a sum depends on the processor and changes the sixteenth."""


def hypervolume(points: Points, reference: Points) -> float:
    """Return the volume between `reference` [M] and those of `points` [N, M] that are better in every objective.

    Exact, by sweeping the last objective (Fonseca et al. 2006, without their bookkeeping): O(N**(M - 1) log N).
    """
    points = points[(points < reference).all(axis=1)]
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - points[:, 0].min())
    points = points[np.argsort(points[:, -1], kind="stable")]
    if points.shape[1] == 2:
        # Descending stairs: each point adds the area below the lowest point before it.
        lowest = np.minimum.accumulate(np.concatenate([reference[:1], points[:-1, 0]]))
        return float((np.maximum(lowest - points[:, 0], 0.0) * (reference[1] - points[:, 1])).sum())
    heights = np.diff(np.append(points[:, -1], reference[-1]))
    return float(
        sum(
            height * hypervolume(points[: i + 1, :-1], reference[:-1]) for i, height in enumerate(heights) if height > 0
        )
    )


def by_gain(points: Points, reference: Points) -> Iterator[int]:
    """Yield all N positions, best first: by rank, then greedily by the hypervolume added within the rank.

    A rank is the set of points that are non-dominated without the ranks before it. Gains that are equal to 12 digits
    are ordered by the first objective, then by position, so that the order is the same on any processor. The
    evaluation is lazy: the first few positions cost little.
    """
    for rank in ranks(points):
        yield from _greedy(points, rank, reference)


def first_by_gain(points: Points, reference: Points, count: int, wanted: Callable[[int], bool]) -> int | None:
    """Return the first position that is `wanted` among the first `count` of `by_gain`, or None.

    Ordering a rank takes long, so only a rank with a wanted position is ordered.
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


def _greedy(points: Points, rank: list[int], reference: Points) -> Iterator[int]:
    """Yield the positions of one rank; each next one adds most hypervolume to those before it."""
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
"""Share of the volume: gains closer than this are compared by the whole hypervolume, which sums in another order."""


class _Gains:
    """Gains of the points of a rank in two objectives: each is a rectangle between the neighbours already taken."""

    def __init__(self, points: Points, reference: Points) -> None:
        self._points, self._volume = points, 0.0
        self._corner = np.tile(reference, (len(points), 1))
        self._left = np.ones(len(points), dtype=bool)

    def _all(self) -> Points:
        return np.asarray(np.maximum(self._corner - self._points, 0.0).prod(axis=1), dtype=np.float64)

    def largest(self) -> list[int]:
        """Return the place with the largest gain, or all places that may have it within rounding."""
        totals = np.where(self._left, self._volume + self._all(), -np.inf)
        return np.flatnonzero(totals >= totals.max() * (1 - _CLOSE)).tolist()

    def take(self, place: int) -> None:
        """Mark this point as taken and update the gains of the others."""
        point = self._points[place]
        self._volume += float(self._all()[place])
        self._left[place] = False
        # Within a rank, better in one objective is worse in the other; an equal point adds nothing any more.
        for one, other in ((0, 1), (1, 0)):
            behind = self._points[:, one] >= point[one]
            self._corner[behind, other] = np.minimum(self._corner[behind, other], point[other])
