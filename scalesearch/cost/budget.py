"""`Budget`: the band that a candidate must be inside before it is built or trained."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scalesearch.cost.price import Cost

COUNTS, BYTES, SECONDS = "count", "bytes", "seconds"
METRICS = {
    "macs": COUNTS,
    "params": COUNTS,
    "activations": COUNTS,
    "memory": BYTES,
    "training_memory": BYTES,
    "latency": SECONDS,
}
"""The metrics that a band may bound, with their kind of unit. memory is that of inference (`cost/memory.py`)."""

Metrics = Cost | Mapping[str, float]
"""Metrics of one candidate by name."""

_DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_SCALES: dict[str, dict[str, float]] = {
    COUNTS: {**_DECIMAL, "B": 1e9},
    # MB is a million bytes and MiB 2**20; M alone is MB.
    BYTES: {
        **_DECIMAL,
        **{f"{prefix}B": scale for prefix, scale in _DECIMAL.items()},
        **{f"{prefix}iB": 1024.0**power for power, prefix in enumerate("kMGT", 1)},
        "KiB": 1024.0,
    },
    # There is no bare number, which could mean seconds or milliseconds.
    # Both letters that look like a micro sign are accepted.
    SECONDS: {"s": 1.0, "ms": 1e-3, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6},
}
_WHAT = {
    COUNTS: "a quantity is a positive number with k, M, G (or B) or T after it",
    BYTES: "an amount of memory is a positive number with MB, GB (powers of 1000) or MiB, GiB (of 1024) after it",
    SECONDS: "a time is a positive number with s, ms or us after it",
}
_QUANTITY = re.compile(r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([a-zA-Z\u00b5\u03bc]*)")
_LEAST = 1e-9
"""A value below every metric; keeps logarithms finite."""


def quantity(text: str | float, name: str = "macs") -> float:
    """Return a value of the metric `name` from text: `3G`, `3 B`, `25M`, `2.5e9`; `500MB`, `2GiB`; `20ms`, `1.5s`.

    The unit is optional for counts and bytes and required for a time. ValueError for anything else.
    """
    if name not in METRICS:
        raise ValueError(f"a metric is one of {', '.join(METRICS)}, but got {name!r}")
    scales = _SCALES[METRICS[name]]
    match = _QUANTITY.fullmatch(str(text).strip())
    if not match or match[2] not in scales or isinstance(text, bool):
        raise ValueError(f"{_WHAT[METRICS[name]]}, but got {text!r}")
    return float(match[1]) * scales[match[2]]


def human(value: float, name: str = "macs") -> str:
    """Return `61.2 M`, `512 MB`, `20 ms`: three digits and a unit; the inverse of `quantity` up to rounding."""
    if not math.isfinite(value):
        return str(value)
    kind = METRICS[name]
    if kind == SECONDS:
        unit = next((u for u in ("s", "ms") if value >= 0.9995 * _SCALES[kind][u]), "us")
        return f"{value / _SCALES[kind][unit]:.3g} {unit}"
    end = "B" if kind == BYTES else ""
    for prefix in "TGMk":
        if abs(value) >= 0.9995 * _DECIMAL[prefix]:
            return f"{value / _DECIMAL[prefix]:.3g} {prefix}{end}"
    return f"{value:.3g} {end}".strip()


def metric(metrics: Metrics, name: str) -> float:
    """Return one of the metrics; ValueError if it was not computed."""
    if isinstance(metrics, Mapping):
        if name not in metrics:
            raise ValueError(f"the metric {name} is needed, but only {', '.join(metrics)} were computed")
        return metrics[name]
    return float(getattr(metrics, name))


@dataclass(frozen=True)
class Bound:
    """A closed interval; ValueError if it is empty."""

    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"a band needs 0 <= min <= max, but got min {human(self.low)}, max {human(self.high)}")

    @property
    def middle(self) -> float:
        """The geometric middle, at which candidates are compared at equal cost; if one end is open, the other end."""
        if math.isinf(self.high):
            return self.low
        return math.sqrt(self.low * self.high) if self.low else self.high


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A band: bounds on some of a detector's metrics; the others are free.

    A bound is a `Bound`, or a mapping in human units that is converted: `Budget(macs={"min": "0.9G", "max": "1.1G"})`.
    ValueError for no bounds, or for a wrong or empty one.
    """

    macs: Bound | None = None
    params: Bound | None = None
    activations: Bound | None = None
    memory: Bound | None = None
    """Bytes in inference: weights and peak activations of one image."""
    training_memory: Bound | None = None
    """Bytes in training, at the meter's batch and optimiser."""
    latency: Bound | None = None
    """Seconds for one image, or for a batch if the table of timings is for one."""

    def __post_init__(self) -> None:
        for name in METRICS:
            object.__setattr__(self, name, _bound(name, getattr(self, name)))
        if not self.bounds:
            raise ValueError(f"a band bounds at least one of {', '.join(METRICS)}, but it is empty")

    @property
    def bounds(self) -> dict[str, Bound]:
        """The bounds of the bounded metrics, by name."""
        return {name: bound for name in METRICS if (bound := getattr(self, name)) is not None}

    def holds(self, metrics: Metrics) -> bool:
        """Whether `metrics` are inside every bound, ends included."""
        return all(bound.low <= metric(metrics, name) <= bound.high for name, bound in self.bounds.items())

    def miss(self, metrics: Metrics) -> str:
        """Return by how much `metrics` are outside, as `macs 61.2 M is 22% over 50 M`; empty if they are inside."""
        misses = []
        for name, bound in self.bounds.items():
            value = metric(metrics, name)
            for end, side, out in (
                (bound.high, "over", value > bound.high),
                (bound.low, "under", value < bound.low),
            ):
                if out:
                    misses.append(f"{name} {human(value, name)} is {_share(value, end)} {side} {human(end, name)}")
        return ", ".join(misses)

    def distance(self, metrics: Metrics) -> float:
        """Return how far outside `metrics` are: the largest |log ratio| to a bound that they miss; 0 inside."""
        far = 0.0
        for name, bound in self.bounds.items():
            value = max(metric(metrics, name), _LEAST)
            far = max(far, math.log(value / max(bound.high, _LEAST)) if value > bound.high else 0.0)
            far = max(far, math.log(bound.low / value) if value < bound.low else 0.0)
        return far

    def to_dict(self) -> dict[str, dict[str, float | str]]:
        """Return `{"macs": {"min":, "max":}}` without open ends, times as `0.02s`; `from_dict` is the inverse."""
        data: dict[str, dict[str, float | str]] = {}
        for name, bound in self.bounds.items():
            ends = {"min": bound.low} if bound.low else {}
            ends |= {} if math.isinf(bound.high) else {"max": bound.high}
            data[name] = {end: f"{value!r}s" if METRICS[name] == SECONDS else value for end, value in ends.items()}
        return data

    def __str__(self) -> str:
        parts = []
        for name, bound in self.bounds.items():
            low = f"{human(bound.low, name)} <= " if bound.low else ""
            high = "" if math.isinf(bound.high) else f" <= {human(bound.high, name)}"
            parts.append(f"{low}{name}{high}")
        return ", ".join(parts)


def _share(value: float, end: float) -> str:
    """Return by how much `value` is off `end`: a percentage, never 0, or a factor if it is large."""
    if not end:
        return "far"
    if value > 10 * end:
        return f"{value / end:,.0f} times"
    off = 100 * abs(value - end) / end
    return "less than 0.1%" if off < 0.1 else f"{off:.0f}%" if off >= 9.5 else f"{off:.2g}%"


def _bound(name: str, given: Any) -> Bound | None:
    """Return `given` as a bound on the metric `name`."""
    if given is None or isinstance(given, Bound):
        return given
    if not isinstance(given, Mapping) or not given or set(given) - {"min", "max"}:
        raise ValueError(f"a band has min, max or both, as {name}: {{max: ...}}, but {name} got {given!r}")
    ends = {}
    for end, value in given.items():
        try:
            ends[end] = quantity(value, name)
        except ValueError as error:
            raise ValueError(f"{name}, {end}: {error}") from None
    low, high = ends.get("min", 0.0), ends.get("max", math.inf)
    if low > high:
        raise ValueError(f"{name}: a band needs min <= max, but got min {human(low, name)}, max {human(high, name)}")
    return Bound(low, high)


def from_dict(data: Mapping[str, Mapping[str, Any]]) -> Budget:
    """A budget from `{"macs": {"min": "0.9G", "max": "1.1G"}, ...}`. ValueError names what is wrong."""
    if unknown := [name for name in data if name not in METRICS]:
        raise ValueError(f"a band bounds {', '.join(METRICS)}, but got {unknown[0]!r}")
    return Budget(**data)  # type: ignore[arg-type]
