"""The Pareto front: the items that no other dominates. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

UP = ("ap",)
"""Objectives to maximise; the others (macs, params, activations, memory, latency) are minimised."""

T = TypeVar("T")


def non_dominated(items: Iterable[T], values: Callable[[T], Sequence[float]], objectives: Sequence[str]) -> list[T]:
    """Return the non-dominated items, in the order given.

    a dominates b if it is at least as good in every objective and better in one. Equal items are all kept.
    """
    signs = [-1.0 if name in UP else 1.0 for name in objectives]
    scored = [(item, tuple(s * v for s, v in zip(signs, values(item), strict=True))) for item in items]
    best: list[tuple[float, ...]] = []
    # A tuple sorts after all that dominate it, and a dominated one is dominated by a member of the front.
    for mine in sorted({mine for _, mine in scored}):
        if not any(_dominates(other, mine) for other in best):
            best.append(mine)
    kept = set(best)
    return [item for item, mine in scored if mine in kept]


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return a != b and all(x <= y for x, y in zip(a, b, strict=True))
