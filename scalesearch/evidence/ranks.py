"""Rank correlation of two measurements of the same items: Kendall's tau-b, by SciPy."""

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
    # Imported here, since scipy.stats takes half a second, which a report without winners does not need.
    from scipy.stats import kendalltau

    if len(first) != len(second):
        raise ValueError(f"two rankings must have equal lengths, but got {len(first)} and {len(second)}")
    ordered = len(set(first)) > 1 and len(set(second)) > 1
    tau = float(kendalltau(first, second).statistic) if ordered else math.nan
    pairs = list(combinations(zip(first, second, strict=True), 2))
    alike = sum((a - c) * (b - d) > 0 for (a, b), (c, d) in pairs)
    return Ranks(tau if math.isfinite(tau) else None, alike, len(pairs))


def places(values: Sequence[float]) -> list[int]:
    """Return the rank of each value, 1 for the largest; equal values share the better rank."""
    return [1 + sum(other > value for other in values) for value in values]
