"""Rank correlation of two measurements of the same items: Kendall's tau."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple


class Ranks(NamedTuple):
    """Agreement of two measurements of n items, pair by pair."""

    tau: float | None
    """Kendall's tau-b, -1 .. 1; None where all values of either are equal."""
    alike: int
    """Concordant pairs."""
    pairs: int
    """All pairs, n (n - 1) / 2."""


def kendall(first: Sequence[float], second: Sequence[float]) -> Ranks:
    """Return Kendall's tau-b, which counts a tie in neither direction. Raises ValueError for unequal lengths."""
    if len(first) != len(second):
        raise ValueError(f"two measurements of the same are of equal length, but got {len(first)}, {len(second)}")
    signs = [(_sign(first[i] - first[j]), _sign(second[i] - second[j])) for i, j in combinations(range(len(first)), 2)]
    product = [a * b for a, b in signs]
    untied = math.sqrt(sum(a != 0 for a, _ in signs) * sum(b != 0 for _, b in signs))
    return Ranks(sum(product) / untied if untied else None, sum(one > 0 for one in product), len(signs))


def places(values: Sequence[float]) -> list[int]:
    """Return the rank of each value, 1 for the largest; equal values share the better rank."""
    return [1 + sum(other > value for other in values) for value in values]


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
