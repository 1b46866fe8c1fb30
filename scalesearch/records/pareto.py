"""The front: what no other is better than in every objective. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

UP = ("ap",)
"""Objectives of which more is better; of the others (macs, params, activations, memory, latency) less is."""

T = TypeVar("T")


def non_dominated(items: Iterable[T], values: Callable[[T], Sequence[float]], objectives: Sequence[str]) -> list[T]:
    """The items that none dominates, in the order given.

    a dominates b where it is at least as good in every objective and better in one; equal ones all stay.
    """
    signs = [-1.0 if name in UP else 1.0 for name in objectives]
    scored = [(item, tuple(s * v for s, v in zip(signs, values(item), strict=True))) for item in items]
    best: list[tuple[float, ...]] = []
    # What dominates a tuple sorts before it, and what is dominated is so by one of the front.
    for mine in sorted({mine for _, mine in scored}):
        if not any(_dominates(other, mine) for other in best):
            best.append(mine)
    kept = set(best)
    return [item for item, mine in scored if mine in kept]


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
