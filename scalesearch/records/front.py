"""The front: what no other is better than in every objective. Pure functions over rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import fmean
from typing import TypeVar

from scalesearch.records.row import Row

UP = ("ap",)
"""Objectives of which more is better; of the others (macs, params, activations) less is."""

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


def front(rows: Iterable[Row], objectives: Sequence[str] = ("ap", "macs")) -> list[Row]:
    """The complete rows with an AP that no other of them dominates."""
    return non_dominated(_scored(rows), lambda row: _values([row], objectives), objectives)


def front_of_means(rows: Iterable[Row], objectives: Sequence[str] = ("ap", "macs")) -> list[tuple[Row, ...]]:
    """The front over detectors by their mean AP over seeds; each is its rows, lowest seed first.

    Rows are of one detector where all but the seed of their key is the same.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in _scored(rows):
        groups.setdefault((row.kind, row.name, row.member, row.key._replace(seed=0)), []).append(row)
    seeds = [tuple(sorted(group, key=lambda row: row.seed)) for group in groups.values()]
    return non_dominated(seeds, lambda group: _values(group, objectives), objectives)


def _scored(rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.state == "complete" and row.final.get("ap") is not None]


def _values(group: Sequence[Row], objectives: Sequence[str]) -> list[float]:
    """The mean AP of the group's rows, and the costs that they share."""
    mean = fmean(ap for row in group if (ap := row.final["ap"]) is not None)
    return [mean if name == "ap" else float(group[0].cost[name]) for name in objectives]
