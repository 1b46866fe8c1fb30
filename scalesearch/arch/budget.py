"""`Budget`: the band that every candidate must be in before it is built or trained."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scalesearch.arch.cost import Cost

_PREFIX = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
_QUANTITY = re.compile(r"([0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)\s*([kKMGBT]?)")


def quantity(text: str | float) -> float:
    """A count with an optional prefix: `3G`, `3 B`, `25M`, `2.5e9`, 2500. ValueError otherwise."""
    match = _QUANTITY.fullmatch(str(text).strip())
    if not match or isinstance(text, bool):
        raise ValueError(f"a quantity is a positive number with k, M, G (or B) or T after it, but got {text!r}")
    return float(match[1]) * _PREFIX[match[2]]


def human(value: float) -> str:
    """`61.2 M`, `2.54 G`: three digits and a prefix; the inverse of `quantity` up to rounding."""
    if not math.isfinite(value):
        return str(value)
    for prefix, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= 0.9995 * size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"


@dataclass(frozen=True)
class Bound:
    """A closed interval; ValueError where it is empty."""

    low: float = 0.0
    high: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"a band needs 0 <= min <= max, but got min {human(self.low)}, max {human(self.high)}")

    @property
    def middle(self) -> float:
        """The geometric middle, where candidates are compared at matched cost; an open end gives the other."""
        if math.isinf(self.high):
            return self.low
        return math.sqrt(self.low * self.high) if self.low else self.high


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A band over some of a detector's costs; the others are free."""

    macs: Bound | None = None
    params: Bound | None = None
    activations: Bound | None = None

    def __post_init__(self) -> None:
        if not self.bounds:
            raise ValueError("a band bounds at least one of macs, params, activations, but it is empty")

    @property
    def bounds(self) -> dict[str, Bound]:
        """The costs that are bounded, by name."""
        named = {"macs": self.macs, "params": self.params, "activations": self.activations}
        return {name: bound for name, bound in named.items() if bound is not None}

    def holds(self, cost: Cost) -> bool:
        """Whether `cost` is inside every bound (ends included)."""
        return all(bound.low <= getattr(cost, name) <= bound.high for name, bound in self.bounds.items())

    def miss(self, cost: Cost) -> str:
        """By how much `cost` misses, as `macs 61.2 M is 22 % over 50 M`; empty where it holds."""
        misses = []
        for name, bound in self.bounds.items():
            value = getattr(cost, name)
            for end, side, out in (
                (bound.high, "over", value > bound.high),
                (bound.low, "under", value < bound.low),
            ):
                if out:
                    misses.append(f"{name} {human(value)} is {_share(value, end)} {side} {human(end)}")
        return ", ".join(misses)

    def distance(self, cost: Cost) -> float:
        """How far outside `cost` is: the largest |log ratio| to a bound that it misses; 0 inside."""
        far = 0.0
        for name, bound in self.bounds.items():
            value = max(getattr(cost, name), 1)
            far = max(far, math.log(value / bound.high) if value > bound.high else 0.0)
            far = max(far, math.log(bound.low / value) if value < bound.low else 0.0)
        return far

    def to_dict(self) -> dict[str, dict[str, float]]:
        """`{"macs": {"min":, "max":}}` without open ends; `from_dict` is its inverse."""
        data: dict[str, dict[str, float]] = {}
        for name, bound in self.bounds.items():
            data[name] = {"min": bound.low} if bound.low else {}
            if not math.isinf(bound.high):
                data[name]["max"] = bound.high
        return data

    def __str__(self) -> str:
        parts = []
        for name, bound in self.bounds.items():
            low = f"{human(bound.low)} <= " if bound.low else ""
            high = "" if math.isinf(bound.high) else f" <= {human(bound.high)}"
            parts.append(f"{low}{name}{high}")
        return ", ".join(parts)


def _share(value: float, end: float) -> str:
    """By how much `value` is off `end`: a percentage, or a factor where that says more."""
    if end and value <= 10 * end:
        return f"{abs(value - end) / end:.0%}"
    return f"{value / end:,.0f} times" if end else "far"


def from_dict(data: Mapping[str, Mapping[str, Any]]) -> Budget:
    """A budget from `{"macs": {"min": "0.9G", "max": "1.1G"}, ...}`. ValueError names what is wrong."""
    bounds = {}
    for name, ends in data.items():
        if name not in Budget.__dataclass_fields__:
            raise ValueError(f"a band bounds macs, params or activations, but got {name!r}")
        if unknown := sorted(set(ends) - {"min", "max"}):
            raise ValueError(f"a band has min and max, but {name} got {unknown[0]!r}")
        low = quantity(ends["min"]) if "min" in ends else 0.0
        high = quantity(ends["max"]) if "max" in ends else math.inf
        bounds[name] = Bound(low, high)
    return Budget(**bounds)
