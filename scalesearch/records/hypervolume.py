"""How much of the space of objectives a set of points dominates. Pure functions over NumPy arrays, less being better."""

from __future__ import annotations

from collections.abc import Iterator

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
    left = list(range(len(points)))
    while left:
        rank = _non_dominated(points, left)
        left = [i for i in left if i not in set(rank)]
        yield from _greedy(points, rank, reference)


def _non_dominated(points: Points, left: list[int]) -> list[int]:
    mine = points[left]
    no_worse = (mine[:, None] <= mine[None]).all(axis=2)
    better = (mine[:, None] < mine[None]).any(axis=2)
    beaten = (no_worse & better).astype(np.int64).sum(axis=0)
    return [i for i, count in zip(left, beaten, strict=True) if not count]


def _greedy(points: Points, rank: list[int], reference: Points) -> Iterator[int]:
    chosen: list[int] = []
    while rest := [i for i in rank if i not in chosen]:
        best = min((-_rounded(hypervolume(points[[*chosen, i]], reference)), points[i, 0], i) for i in rest)
        chosen.append(best[2])
        yield best[2]


def _rounded(volume: float) -> float:
    return float(f"{volume:.{_DIGITS - 1}e}")
