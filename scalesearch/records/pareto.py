"""Pareto dominance: the front, and non-dominated sorting. Pure functions.

Points are arrays [N, M] whose every column is minimised; `signed` makes them from values by objective.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

UP = ("ap",)
"""Objectives to maximise; the others (macs, params, activations, memory, latency) are minimised."""

Points = NDArray[np.float64]
T = TypeVar("T")


def signed(values: Iterable[Sequence[float]], objectives: Sequence[str]) -> Points:
    """Return values by objective as points [N, M] to minimise."""
    signs = [-1.0 if name in UP else 1.0 for name in objectives]
    return np.array([[*value] for value in values], dtype=np.float64).reshape(-1, len(signs)) * signs


def non_dominated(items: Iterable[T], values: Callable[[T], Sequence[float]], objectives: Sequence[str]) -> list[T]:
    """Return the non-dominated items, in the order given.

    a dominates b if it is at least as good in every objective and better in one. Equal items are all kept.
    """
    items = list(items)
    front = next(ranks(signed(map(values, items), objectives)), [])
    return [items[i] for i in front]


def ranks(points: Points) -> Iterator[list[int]]:
    """Yield the positions of each rank of non-dominated sorting, best rank first, positions in ascending order."""
    if not len(points):
        return iter(())
    return _ranks_of_two(points) if points.shape[1] == 2 else _ranks_of_many(points)


def _ranks_of_two(points: Points) -> Iterator[list[int]]:
    """`ranks` of two objectives: in order of the first, a non-dominated point's second is below all before it."""
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
    """`ranks` of any number of objectives, by comparing all pairs once: O(N * N * M)."""
    beats = np.zeros((len(points), len(points)), dtype=bool)
    for i, point in enumerate(points):
        beats[i] = (point <= points).all(axis=1) & (point < points).any(axis=1)
    beaten = beats.sum(axis=0)
    while len(rank := np.flatnonzero(beaten == 0)):
        yield rank.tolist()
        beaten[rank] = -1
        beaten[beaten > 0] -= beats[rank].sum(axis=0)[beaten > 0]
