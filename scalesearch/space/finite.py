"""A band over a given finite set of candidates, such as the specs of a recorded table that a rehearsal searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from scalesearch.arch.genes import Genes
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import Bound, Budget
from scalesearch.cost.metrics import Meter
from scalesearch.space.band import EmptyBandError
from scalesearch.space.candidates import Candidate
from scalesearch.space.enumerated import EnumeratedBand
from scalesearch.space.space import AxisValue, Choices


@dataclass(frozen=True)
class _Brought(Meter):
    """A meter that returns known metrics, by the id of the detector.

    A row has multiply-adds, by which gains over a training are compared; without any, the first metric stands there.
    """

    known: Mapping[str, Mapping[str, float]]

    def __call__(self, spec: DetectorSpec) -> dict[str, float]:
        costs = self.known[spec.id]
        return {**costs, "macs": costs[_size(costs)]}


def _size(costs: Mapping[str, float]) -> str:
    """Return the metric that says how large a candidate is: macs, or the first."""
    return "macs" if "macs" in costs else next(iter(costs))


@dataclass(frozen=True)
class FiniteUnit:
    """A unit of exactly `candidates`; its axes are those on which their points differ, with sorted values.

    ValueError if points do not have the same axes, an axis has both names and numbers, or two points are equal.
    """

    candidates: tuple[Candidate, ...]
    budgets: tuple[Budget, ...]
    """The band of each member; `band_of` gives one around all candidates."""

    def __post_init__(self) -> None:
        names = list(self.candidates[0].point)
        for candidate in self.candidates:
            if list(candidate.point) != names:
                raise ValueError(
                    f"candidates of one band have the same axes, but got {names} and {list(candidate.point)}"
                )
        for name in names:
            kinds = {isinstance(candidate.point[name], str) for candidate in self.candidates}
            if len(kinds) > 1:
                raise ValueError(f"an axis has names or numbers, but {name} has both")
        if len(self._at) < len(self.candidates):
            raise ValueError("candidates of one band have different points, but two have the same; add an axis")

    @cached_property
    def axes(self) -> Mapping[str, Choices]:
        """The axes on which the points differ."""
        axes = {}
        for name in self.candidates[0].point:
            values = {candidate.point[name] for candidate in self.candidates}
            if len(values) > 1:
                axes[name] = Choices(tuple(sorted(values)))
        return axes

    @cached_property
    def meter(self) -> Meter:
        """The meter of the candidates' own metrics: a recorded latency is not predicted again."""
        return _Brought(
            {spec.id: cost for one in self.candidates for spec, cost in zip(one.members, one.costs, strict=True)}
        )

    @property
    def genes(self) -> Genes | None:
        """None: a mutated graph would not be one of the candidates."""
        return None

    @cached_property
    def _at(self) -> dict[tuple[AxisValue, ...], Candidate]:
        return {tuple(candidate.point.values()): candidate for candidate in self.candidates}

    def solve(self, point: Mapping[str, AxisValue]) -> Candidate:
        """Return the candidate with exactly this point; KeyError if there is none."""
        return self._at[tuple(point[name] for name in self.candidates[0].point)]


def band_of(candidates: Sequence[Candidate]) -> EnumeratedBand:
    """Return the band of exactly these candidates; of several with equal members, the first.

    Raises EmptyBandError if there are none, and ValueError as `FiniteUnit`.
    """
    if not candidates:
        raise EmptyBandError("a band must hold a candidate, but the set is empty")
    distinct: dict[tuple[str, ...], Candidate] = {}
    for candidate in candidates:
        distinct.setdefault(candidate.key, candidate)
    found = tuple(distinct.values())
    name = _size(found[0].costs[0])
    budgets = tuple(
        _around(name, [candidate.costs[i][name] for candidate in found]) for i in range(len(found[0].costs))
    )
    return EnumeratedBand(FiniteUnit(found, budgets), found, f"{len(found)} candidates given")


def _around(name: str, costs: Sequence[float]) -> Budget:
    return Budget(**{name: Bound(min(costs), max(costs))})
