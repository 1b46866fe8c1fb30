"""`Candidate` and `Unit`: a candidate is one detector, or a family of detectors solved into several bands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Protocol

from scalesearch.arch.genes import Genes
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import Budget, metric
from scalesearch.cost.metrics import Meter, meter_of
from scalesearch.space.space import AxisValue, Choices, Point, Space

_LEAST = 1e-9
"""A value below every metric; keeps logarithms finite."""


@dataclass(frozen=True)
class Candidate:
    """A point of the space and its detectors."""

    point: Point
    members: tuple[DetectorSpec, ...]
    costs: tuple[Mapping[str, float], ...]
    """Metrics of each member by name: params, macs, activations, and those of the bands and objectives."""

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The identity of the candidate: the ids of its members."""
        return tuple(spec.id for spec in self.members)

    def mean_cost(self, name: str) -> float:
        """Return the mean of a metric over its members."""
        if name not in self._means:
            self._means[name] = fmean(cost[name] for cost in self.costs)
        return self._means[name]

    @cached_property
    def _means(self) -> dict[str, float]:
        """Cache of `mean_cost`, which a sampler calls for thousands of candidates before each proposal."""
        return {}


class Unit(Protocol):
    """The kind of candidates of a study."""

    @property
    def axes(self) -> Mapping[str, Choices]:
        """The axes that a sampler may move, by name."""

    @property
    def budgets(self) -> Sequence[Budget]:
        """The band of each member."""

    @property
    def meter(self) -> Meter:
        """The meter of each member's metrics."""

    @property
    def genes(self) -> Genes | None:
        """The encoding of free graphs, if some of the axes are genes."""

    def solve(self, point: Mapping[str, AxisValue]) -> Candidate:
        """Return the candidate at `point`, each member as near to its band as possible."""


@dataclass(frozen=True)
class SpecUnit:
    """Candidates of one detector each."""

    space: Space
    budget: Budget
    measure: Meter | None = None
    """The meter; None: of the band's metrics alone."""

    @cached_property
    def meter(self) -> Meter:
        """The meter of each candidate's metrics."""
        return self.measure or meter_of(self.budget.bounds)

    @property
    def axes(self) -> Mapping[str, Choices]:
        """All axes that vary."""
        return self.space.free

    @property
    def budgets(self) -> Sequence[Budget]:
        """The one band."""
        return (self.budget,)

    @property
    def genes(self) -> Genes | None:
        """The genes of the space."""
        return self.space.genes

    def solve(self, point: Mapping[str, AxisValue]) -> Candidate:
        """Return the detector at `point` and its metrics."""
        spec = self.space.spec(point)
        return Candidate(dict(point), (spec,), (self.meter(spec),))


@dataclass(frozen=True)
class FamilyUnit:
    """Candidates of one set of compound coefficients each; member i has `phis[i]` and is moved into `bands[i]`.

    A member is moved along `axis` to the value whose cost is nearest to the geometric middle of its band,
    so that sets of coefficients are compared at equal cost.
    """

    space: Space
    bands: tuple[Budget, ...]
    phis: tuple[float, ...]
    axis: str
    measure: Meter | None = None
    """The meter; None: of the bands' metrics alone."""

    @cached_property
    def meter(self) -> Meter:
        """The meter of each member's metrics."""
        return self.measure or meter_of(name for band in self.bands for name in band.bounds)

    @cached_property
    def axes(self) -> Mapping[str, Choices]:
        """The axes that vary, except phi and the solved axis."""
        return {name: axis for name, axis in self.space.free.items() if name not in ("phi", self.axis)}

    @property
    def budgets(self) -> Sequence[Budget]:
        """The band of each member."""
        return self.bands

    @property
    def genes(self) -> Genes | None:
        """The genes of the space."""
        return self.space.genes

    def solve(self, point: Mapping[str, AxisValue]) -> Candidate:
        """Return the members at `point`, each solved along the axis."""
        pairs = [self._member(point, phi, band) for phi, band in zip(self.phis, self.bands, strict=True)]
        return Candidate(dict(point), tuple(spec for spec, _ in pairs), tuple(cost for _, cost in pairs))

    def _member(
        self, point: Mapping[str, AxisValue], phi: float, band: Budget
    ) -> tuple[DetectorSpec, Mapping[str, float]]:
        found: list[tuple[float, float, DetectorSpec, Mapping[str, float]]] = []
        for value in self.space.axes[self.axis].values:
            spec = self.space.spec(point, phi=phi, **{self.axis: value})
            cost = self.meter(spec)
            off = sum(
                abs(math.log(max(metric(cost, name), _LEAST) / max(bound.middle, _LEAST)))
                for name, bound in band.bounds.items()
            )
            found.append((band.distance(cost), off, spec, cost))
        return min(found, key=lambda item: item[:2])[2:]


def inside(unit: Unit, candidate: Candidate) -> bool:
    """Whether every member is in its band."""
    return all(band.holds(cost) for band, cost in zip(unit.budgets, candidate.costs, strict=True))


def distance(unit: Unit, candidate: Candidate) -> float:
    """Return how far the worst member is outside its band, as a log ratio; 0 inside."""
    return max(band.distance(cost) for band, cost in zip(unit.budgets, candidate.costs, strict=True))


def miss(unit: Unit, candidate: Candidate) -> str:
    """Return which bounds the candidate misses and by how much, for a message."""
    return ", ".join(
        text for band, cost in zip(unit.budgets, candidate.costs, strict=True) if (text := band.miss(cost))
    )
