"""The band of a plain table, as `latency=20%..40%` or `params=1M..2M`: values or quantiles of a cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scalesearch.cost.budget import METRICS, Bound, human, quantity
from scalesearch.plan.bands import CALLED, misnamed
from scalesearch.space.band import EmptyBandError
from scalesearch.space.candidates import Candidate


class _LimitEnd(NamedTuple):
    """An end of an interval: a value of the cost, or a quantile of it in 0..1."""

    value: float
    quantile: bool


@dataclass(frozen=True)
class Limit:
    """The interval of one cost; an end that is None is open."""

    name: str
    low: _LimitEnd | None
    high: _LimitEnd | None
    text: str


def read_limit(text: str) -> Limit:
    """Read `NAME=LOW..HIGH`; an end is a quantity with its unit (`20ms`), a percentage of the points, or left out.

    Raises ValueError.
    """
    name, equals, ends = text.partition("=")
    low, dots, high = ends.partition("..")
    if not (equals and dots and (low.strip() or high.strip())):
        raise ValueError(f"--band is NAME=LOW..HIGH, as latency=20%..40% or params=1M..2M, but got {text!r}")
    name = name.strip()
    if name.lower() in CALLED and name not in METRICS:
        raise ValueError(f"--band {text}: {name!r} {misnamed(name)}")
    if name not in METRICS:
        raise ValueError(f"--band {text}: a band bounds {', '.join(METRICS)}, but got {name!r}")
    return Limit(name, _end(low.strip(), name, text), _end(high.strip(), name, text), text)


def _end(text: str, name: str, whole: str) -> _LimitEnd | None:
    if not text:
        return None
    try:
        if not text.endswith("%"):
            return _LimitEnd(quantity(text, name), quantile=False)
        share = quantity(text[:-1], "macs") / 100
    except ValueError as error:
        raise ValueError(f"--band {whole}: {error}") from None
    if share > 1:
        raise ValueError(f"--band {whole}: a percentage is at most 100, but got {text}")
    return _LimitEnd(share, quantile=True)


def within_limits(candidates: Sequence[Candidate], limits: Sequence[Limit]) -> tuple[list[Candidate], dict[str, Bound]]:
    """Return the candidates of one member within all limits, and the bounds by cost; quantiles are over `candidates`.

    Raises ValueError for a cost that the table lacks or limited twice, EmptyBandError where no candidate is inside.
    """
    bounds: dict[str, Bound] = {}
    for limit in limits:
        costs = candidates[0].costs[0]
        if limit.name not in costs:
            raise ValueError(f"--band {limit.text}: the table has {', '.join(costs)}, but no {limit.name}")
        if limit.name in bounds:
            raise ValueError(
                f"--band {limit.text}: a cost has one band, but {limit.name} has two; give both ends at once"
            )
        values = np.array([one.costs[0][limit.name] for one in candidates])
        low, high = _value(limit.low, values, 0.0), _value(limit.high, values, np.inf)
        if low > high:
            ends = f"{human(low, limit.name)} and {human(high, limit.name)}"
            raise ValueError(f"--band {limit.text}: the lower end is at most the upper, but got {ends}")
        bounds[limit.name] = Bound(low, high)
    found = [one for one in candidates if all(b.low <= one.costs[0][name] <= b.high for name, b in bounds.items())]
    if not found:
        raise EmptyBandError(
            f"--band {' '.join(limit.text for limit in limits)}: a band must hold a point, but none of "
            f"{len(candidates)} is inside; widen it"
        )
    return found, bounds


def _value(end: _LimitEnd | None, values: np.ndarray[tuple[int], np.dtype[np.float64]], otherwise: float) -> float:
    if end is None:
        return otherwise
    return float(np.quantile(values, end.value)) if end.quantile else end.value
