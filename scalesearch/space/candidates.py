"""What one trial is made of: a detector, or a family of them solved into a ladder of bands."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from scalesearch.arch.genes import Genes
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import Budget, figure
from scalesearch.cost.metrics import Meter, meter_of
from scalesearch.space.space import Choices, Point, Space, Value

_LEAST = 1e-9
"""Below every figure that there is: keeps logarithms finite."""


@dataclass(frozen=True)
class Candidate:
    """A point of the space and the detectors that it stands for, inside their bands."""

    point: Point
    members: tuple[DetectorSpec, ...]
    costs: tuple[Mapping[str, float], ...]
    """Figures by name of each member: params, macs, activations, and what the bands and objectives ask for."""

    @cached_property
    def key(self) -> tuple[str, ...]:
        """What makes two candidates the same: the ids of their members."""
        return tuple(spec.id for spec in self.members)


class Unit(Protocol):
    """What a study's trials are; `axes` are those that a sampler may move."""

    @property
    def axes(self) -> Mapping[str, Choices]:
        """The free axes by name."""

    @property
    def budgets(self) -> Sequence[Budget]:
        """The band of each member."""

    @property
    def meter(self) -> Meter:
        """What is worked out of each member."""

    @property
    def genes(self) -> Genes | None:
        """Those of free graphs, where some of the axes are genes."""

    def solve(self, point: Mapping[str, Value]) -> Candidate:
        """The candidate at `point`, each member as near its band as it comes."""


@dataclass(frozen=True)
class SpecUnit:
    """One detector a trial."""

    space: Space
    budget: Budget
    measure: Meter | None = None
    """Of the band's figures alone where it is None."""

    @cached_property
    def meter(self) -> Meter:
        """What is worked out of each candidate."""
        return self.measure or meter_of(self.budget.bounds)

    @property
    def axes(self) -> Mapping[str, Choices]:
        """All the axes that vary."""
        return self.space.free

    @property
    def budgets(self) -> Sequence[Budget]:
        """The one band."""
        return (self.budget,)

    @property
    def genes(self) -> Genes | None:
        """The space's."""
        return self.space.genes

    def solve(self, point: Mapping[str, Value]) -> Candidate:
        """The detector at `point` and its price."""
        spec = self.space.spec(point)
        return Candidate(dict(point), (spec,), (self.meter(spec),))


@dataclass(frozen=True)
class FamilyUnit:
    """One set of compound coefficients a trial; member i has `phis[i]` and is moved into `bands[i]`.

    A member is moved along the axis `solve` to the value whose cost is nearest the geometric middle of
    its band, so that coefficient sets are compared at matched cost.
    """

    space: Space
    bands: tuple[Budget, ...]
    phis: tuple[float, ...]
    axis: str
    measure: Meter | None = None
    """Of the bands' figures alone where it is None."""

    @cached_property
    def meter(self) -> Meter:
        """What is worked out of each member."""
        return self.measure or meter_of(name for band in self.bands for name in band.bounds)

    @cached_property
    def axes(self) -> Mapping[str, Choices]:
        """The axes that vary, without phi and the solved one."""
        return {name: axis for name, axis in self.space.free.items() if name not in ("phi", self.axis)}

    @property
    def budgets(self) -> Sequence[Budget]:
        """A band for each member."""
        return self.bands

    @property
    def genes(self) -> Genes | None:
        """The space's."""
        return self.space.genes

    def solve(self, point: Mapping[str, Value]) -> Candidate:
        """The members at `point`, each solved along the axis."""
        pairs = [self._member(point, phi, band) for phi, band in zip(self.phis, self.bands, strict=True)]
        return Candidate(dict(point), tuple(spec for spec, _ in pairs), tuple(cost for _, cost in pairs))

    def _member(self, point: Mapping[str, Value], phi: float, band: Budget) -> tuple[DetectorSpec, Mapping[str, float]]:
        found: list[tuple[float, float, DetectorSpec, Mapping[str, float]]] = []
        for value in self.space.axes[self.axis].values:
            spec = self.space.spec(point, phi=phi, **{self.axis: value})
            cost = self.meter(spec)
            off = sum(
                abs(math.log(max(figure(cost, name), _LEAST) / max(bound.middle, _LEAST)))
                for name, bound in band.bounds.items()
            )
            found.append((band.distance(cost), off, spec, cost))
        return min(found, key=lambda item: item[:2])[2:]


def inside(unit: Unit, candidate: Candidate) -> bool:
    """Whether every member is in its band."""
    return all(band.holds(cost) for band, cost in zip(unit.budgets, candidate.costs, strict=True))


def distance(unit: Unit, candidate: Candidate) -> float:
    """How far the worst member is outside its band, as a log ratio; 0 inside."""
    return max(band.distance(cost) for band, cost in zip(unit.budgets, candidate.costs, strict=True))


def miss(unit: Unit, candidate: Candidate) -> str:
    """What the candidate misses and by how much, for a message."""
    return ", ".join(
        text for band, cost in zip(unit.budgets, candidate.costs, strict=True) if (text := band.miss(cost))
    )
