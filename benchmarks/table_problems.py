"""The tables and our landscape as problems of a search in a band, and the measure of what a search found there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from opponents import Axes, Evaluation
from outside_tables import TABLES

from scalesearch.app.rehearse import Scenario, on_landscape
from scalesearch.app.rehearse_plain import on_plain_table
from scalesearch.cost.budget import human
from scalesearch.records.hypervolume import hypervolume
from scalesearch.rehearsal.plain_table import PlainTable
from scalesearch.space.candidates import Candidate
from scalesearch.space.enumerated import EnumeratedBand
from scalesearch.space.finite import band_of
from scalesearch.space.space import Point

ROOT = Path(__file__).parents[1]
LANDSCAPE = "landscape"
NAMES = (*TABLES, LANDSCAPE)
BAND = "20%..40%"
TRIALS, STARTUP = 100, 6
MARGIN = 0.1
"""Distance of the reference point beyond the dearest candidate of the band, as a share of its range in log cost."""


class Step(NamedTuple):
    """What a search would return after so many evaluations; a step is kept where that changed."""

    evaluations: int
    volume: float
    """Hypervolume of the true values of the front by observed score, as a share of the band's; AP from its median."""
    regret: float
    """What the true score of the best by observed score lacks to the best in the band, as a share of what the median
    lacks; before the first point inside the band, that of the worst."""


@dataclass(frozen=True)
class Problem:
    """A table or landscape, its band, and the whole space around it."""

    name: str
    stage: Scenario
    axes: Axes
    solve: Callable[[Point], Candidate]

    @property
    def cost(self) -> str:
        return self.stage.plan.objectives[1]

    @cached_property
    def band(self) -> EnumeratedBand:
        assert isinstance(self.stage.band, EnumeratedBand)
        return self.stage.band

    @cached_property
    def by_key(self) -> dict[tuple[str, ...], Candidate]:
        return {candidate.key: candidate for candidate in self.band.candidates}

    @cached_property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """The ends of each bounded cost."""
        if self.name != LANDSCAPE:
            costs = [candidate.costs[0][self.cost] for candidate in self.band.candidates]
            return {self.cost: (min(costs), max(costs))}
        assert self.stage.plan.band
        return {name: (bound.low, bound.high) for name, bound in self.stage.plan.band.bounds.items()}

    @cached_property
    def violations(self) -> tuple[str, ...]:
        """Names of the ends that can be missed."""
        sides = [
            (f"{name} {side}", end) for name, ends in self.bounds.items() for side, end in zip("<>", ends, strict=True)
        ]
        return tuple(name for name, end in sides if 0 < end < math.inf)

    def score(self, candidate: Candidate, seed: int) -> float:
        return self.stage.surrogate.ap(candidate.members[0], seed, self.stage.plan.recipe.epochs)

    def evaluate(self, candidate: Candidate, seed: int) -> Evaluation:
        costs = candidate.costs[0]
        missed = {
            f"{name} {side}": math.log(low / costs[name]) if side == "<" else math.log(costs[name] / high)
            for name, (low, high) in self.bounds.items()
            for side in "<>"
            if f"{name} {side}" in self.violations
        }
        return Evaluation(self.score(candidate, seed), math.log(costs[self.cost]), missed)


def problem(name: str, tables: Path) -> Problem:
    """Return a table read from its CSV file, or our landscape."""
    overrides = [f"trials={TRIALS}", f"sampler={{startup: {STARTUP}}}"]
    if name == LANDSCAPE:
        stage = on_landscape(ROOT / "search_spaces" / "landscape.yaml", overrides, "plain")
        return Problem(name, stage, stage.band.unit.axes, stage.band.unit.solve)
    cost = TABLES[name].cost
    stage = on_plain_table(
        tables / f"{name}.csv", [f"{cost}={BAND}"], [*overrides, f"objectives=[ap, {cost}]"], ladder=False
    )
    assert isinstance(stage.surrogate, PlainTable)
    whole = band_of(stage.surrogate.candidates)

    def solve(point: Point) -> Candidate:
        try:
            return whole.unit.solve(point)
        except KeyError:  # the table is no full product
            return whole.nearest(point, (), np.random.default_rng(0))

    return Problem(name, stage, whole.unit.axes, solve)


class Measure:
    """Measures the evaluations of a search by the true values of those inside the band."""

    def __init__(self, given: Problem) -> None:
        self._given = given
        everything = given.band.candidates
        self._truth = {one.key: given.stage.surrogate.truth(one.members[0]) for one in everything}
        self._cost = {one.key: math.log(one.costs[0][given.cost]) for one in everything}
        scores, costs = np.array(list(self._truth.values())), np.array(list(self._cost.values()))
        self._median, self._best, self._worst = float(np.median(scores)), float(scores.max()), float(scores.min())
        self._reference = np.array([-self._median, costs.max() + MARGIN * np.ptp(costs)])
        self._whole = hypervolume(np.stack([-scores, costs], axis=1), self._reference)

    def steps(self, evaluated: Sequence[Candidate], seed: int) -> tuple[tuple[Step, ...], float]:
        """Return the steps of a search, and the share of evaluations inside the band."""
        seen: dict[tuple[str, ...], float] = {}
        inside, steps = 0, [Step(1, 0.0, round(self._regret(self._worst), 5))]
        for number, candidate in enumerate(evaluated, 1):
            inside += candidate.key in self._truth
            if candidate.key not in self._truth or candidate.key in seen:
                continue
            seen[candidate.key] = self._given.score(candidate, seed)
            best = max(seen, key=lambda key: seen[key])
            found = (round(self._volume(seen), 5), round(self._regret(self._truth[best]), 5))
            if number == 1:
                steps = []
            if not steps or found != steps[-1][1:]:
                steps.append(Step(number, *found))
        return tuple(steps), inside / len(evaluated)

    def _volume(self, seen: dict[tuple[str, ...], float]) -> float:
        """Return the share of the band's hypervolume that the non-dominated by observed score have in truth."""
        front, highest = [], -math.inf
        for key in sorted(seen, key=lambda key: (self._cost[key], -seen[key])):
            if seen[key] > highest:
                highest = seen[key]
                front.append((-self._truth[key], self._cost[key]))
        return hypervolume(np.array(front), self._reference) / self._whole

    def _regret(self, truth: float) -> float:
        return (self._best - truth) / (self._best - self._median)


def facts(given: Problem) -> dict[str, object]:
    """Return what the page says of a table."""
    bounds = [
        f"{name} {human(low, name) if low else '0'} to {human(high, name)}"
        for name, (low, high) in given.bounds.items()
    ]
    points = math.prod(len(axis.values) for axis in given.axes.values())
    if isinstance(given.stage.surrogate, PlainTable):
        points = len(given.stage.surrogate.candidates)
    return {
        "table": given.name,
        "points": f"{points:,}",
        "in the band": f"{len(given.band.candidates):,}",
        "axes": len(given.axes),
        "band": ", ".join(bounds),
    }
