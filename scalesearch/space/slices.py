"""A slice of a space: one choice of every name and graph, all sizes, widths, repeats and head depths at once.

`Meter.grid` prices a slice of 70,000 points in 10 ms, so that the point of it that is inside the band and nearest to
what a sampler asked for is found exactly, where single prices would take 5 s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalesearch.space.candidates import SpecUnit, Unit
from scalesearch.space.space import Choices, Point

DIMENSIONS = ("size", "width", "repeats", "head_depth")

_LARGEST = 500_000
"""Points of a slice."""
_KEPT = 1_000
"""Slices whose inside is remembered."""


@dataclass(frozen=True)
class Slices:
    """The slices of a space along `axes`; the other axes are held."""

    unit: SpecUnit
    axes: Mapping[str, Choices]
    _known: dict[tuple[Any, ...], NDArray[np.int64]] = field(default_factory=dict, compare=False, repr=False)

    def inside(self, point: Point) -> NDArray[np.int64]:
        """[n, axes] the ranks of the points inside the band, of the slice that holds what `point` holds.

        By every figure but latency, with the anchors at `point`: a candidate is looked at again.
        """
        held = tuple(value for name, value in point.items() if name not in self.axes)
        if held not in self._known:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[held] = self._price(point)
        return self._known[held]

    def places(self, ranks: NDArray[np.int64]) -> NDArray[np.float64]:
        """Ranks as positions in 0..1 along each axis."""
        return ranks / np.array([max(1.0, len(axis.values) - 1.0) for axis in self.axes.values()], dtype=np.float64)

    def ranks(self, point: Point) -> NDArray[np.int64]:
        """[axes] the ranks of `point`."""
        return np.array([axis.ranks[point[name]] for name, axis in self.axes.items()])

    def point(self, held: Point, ranks: NDArray[np.int64]) -> Point:
        """`held` with the values at `ranks` on the axes of the slice."""
        return {
            **held,
            **{name: axis.ordered[int(r)] for (name, axis), r in zip(self.axes.items(), ranks, strict=True)},
        }

    def _price(self, point: Point) -> NDArray[np.int64]:
        shape = tuple(len(axis.values) for axis in self.axes.values())
        columns: dict[str, Any] = {}
        for i, (name, axis) in enumerate(self.axes.items()):
            values: Any = np.array([int(value) for value in axis.ordered])
            if name == "size":
                values = np.array([self.unit.space.spec({**point, name: value}).size for value in axis.ordered])
            along = [1] * len(shape)
            along[i] = shape[i]
            columns[name] = values.reshape(along) if name != "size" else tuple(v.reshape(along) for v in values.T)
        found = self.unit.meter.grid(self.unit.space.spec(point), **columns)
        held = np.ones(shape, dtype=bool)
        for name, bound in self.unit.budget.bounds.items():
            if name in found:
                held &= (bound.low <= found[name]) & (found[name] <= bound.high)
        return np.argwhere(held)


def slices_of(unit: Unit) -> Slices | None:
    """The slices of the unit's space; None for a family, and where no dimension is an axis of its own."""
    if not isinstance(unit, SpecUnit):
        return None
    axes = {name: unit.axes[name] for name in DIMENSIONS if name in unit.axes}
    if not axes or math.prod(len(axis.values) for axis in axes.values()) > _LARGEST:
        return None
    return Slices(unit, axes)
