"""`propose`: the next candidate as a pure function of (study seed, ordinal, trials so far); no sampler state is kept.

A sampler, seeded from (seed, ordinal), asks for a point given all observations, and the nearest unseen candidate of the
band is taken. So a resumed study equals an uninterrupted one, and a point outside the band never becomes a trial.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

import numpy as np

from scalesearch.plan.sections import SamplerPlan
from scalesearch.records.pareto import UP, non_dominated
from scalesearch.records.trials import Trial
from scalesearch.space.band import Band, Seen
from scalesearch.space.candidates import Candidate
from scalesearch.space.enumerated import PricedBand
from scalesearch.space.projected import ProjectedBand
from scalesearch.space.space import Choices, Point
from scalesearch.study import cost_aware, evolution, graph_start, samplers
from scalesearch.study.evolution import Observations, mutant
from scalesearch.study.observations import observed_values
from scalesearch.study.successive_halving import PromotionGains

_POOL, _POOL_OF_GRAPHS = (128, 128), (8, 40)
"""Candidates that GP chooses among: (from anywhere in the band, mutants of the front). Projecting a random graph into a
narrow band takes 30 ms, a mutant of a graph inside it 6 ms."""

MODELLED = ("ehvi",)
"""Samplers on whose ladder a model of AP says who goes on."""


@dataclass(frozen=True)
class Proposal:
    """A candidate to train, and its proposer: grid, random, published (a network or a mutant), or the sampler's name."""

    candidate: Candidate
    proposed_by: str


def propose(
    band: Band,
    sampler: SamplerPlan,
    objectives: Sequence[str],
    seed: int,
    ordinal: int,
    trials: Sequence[Trial],
    taken: Collection[tuple[str, ...]] = (),
    pending: Sequence[Point] = (),
) -> Proposal:
    """Return candidate number `ordinal`: inside the band, and not among `trials` (by ordinal) or the keys `taken`.

    `pending` are the points of candidates that are in training, so that several workers do not train near twins.
    Raises EmptyBandError when every candidate of the band has been tried.
    """
    seen = {trial.key for trial in trials} | set(taken)
    rng = np.random.default_rng([seed, ordinal])
    # `reads_results` says which of these look at trials beyond their keys.
    if sampler.name == "grid":
        return Proposal(band.grid(seen), "grid")
    if sampler.name == "random" or not band.unit.axes:
        return Proposal(band.draw(seen, rng), "random")
    if sampler.name == "qmc":
        return Proposal(band.nearest(_sobol(band.unit.axes, seed, ordinal), seen, rng), "qmc")
    known = observed_values(trials, objectives, sampler.population if sampler.name == "evolution" else 0)
    if _starting(sampler, ordinal, len(known)):
        if sampler.name == "ehvi" and band.unit.genes:
            return Proposal(graph_start.draw(band, band.unit.genes, seen, rng), "published")
        return Proposal(band.draw(seen, rng), "random")
    if sampler.name == "ehvi":
        return Proposal(cost_aware.choose(band, objectives, known, pending, seen, rng), "ehvi")
    observed = [(trial.point, values) for trial, values in known]
    point = _ask(band, sampler, objectives, observed, pending, seen, rng)
    return Proposal(band.nearest(point, seen, rng), sampler.name)


def reads_results(band: Band, sampler: SamplerPlan, ordinal: int) -> bool:
    """Whether proposal number `ordinal` depends on results, and not only on which candidates were proposed before it."""
    if sampler.name in ("grid", "random", "qmc") or not band.unit.axes:
        return False
    return sampler.name == "nsga2" or ordinal >= sampler.startup


def promotion_gains(
    band: Band, sampler: SamplerPlan, objectives: Sequence[str], trials: Sequence[Trial]
) -> PromotionGains | None:
    """Return the sampler's rule of who goes on from a rung; None where it has none and the rank decides."""
    known = observed_values(trials, objectives) if sampler.name in MODELLED else []
    if len(known) < sampler.startup or not known:
        return None
    return partial(cost_aware.promotion_gains, band, objectives, known)


def _starting(sampler: SamplerPlan, ordinal: int, observed: int) -> bool:
    """Whether the candidate still belongs to the random start."""
    if sampler.name == "nsga2":
        return observed < sampler.population
    return ordinal < sampler.startup or not observed


def _ask(
    band: Band,
    sampler: SamplerPlan,
    objectives: Sequence[str],
    observed: Observations,
    pending: Sequence[Point],
    seen: Seen,
    rng: np.random.Generator,
) -> Point:
    """Return the point that the sampler asks for, inside the band or outside it."""
    unit = band.unit
    if sampler.name == "evolution":
        return evolution.ask(unit.axes, unit.genes, objectives, sampler.population, observed, rng)
    number = int(rng.integers(2**31))
    return samplers.ask(
        sampler,
        unit.axes,
        objectives,
        number,
        observed,
        pending,
        lambda point: _expected(band, point, objectives, observed),
        lambda: _pool(band, objectives, observed, seen, rng),
    )


def _expected(band: Band, point: Point, objectives: Sequence[str], observed: Observations) -> list[float]:
    """Return the objectives of a candidate in training: its own costs, and the mean AP of what was observed."""
    candidate = band.unit.solve(point)
    return [
        fmean(values[k] for _, values in observed) if name in UP else fmean(cost[name] for cost in candidate.costs)
        for k, name in enumerate(objectives)
    ]


def _pool(
    band: Band, objectives: Sequence[str], observed: Observations, seen: Seen, rng: np.random.Generator
) -> list[Point]:
    """Return unseen points of the band for a model to choose among: some from anywhere, some near the front."""
    unit = band.unit
    anywhere, near = _POOL_OF_GRAPHS if unit.genes else _POOL
    front = [point for point, _ in non_dominated(observed, lambda item: item[1], objectives)]
    starts = [front[int(rng.integers(len(front)))] for _ in range(near)]
    asked = [mutant(point, unit.axes, unit.genes, rng) for point in starts]
    if isinstance(band, ProjectedBand):
        # Not `band.draw`, which is uniform but takes 40 ms, for a graph 260 ms.
        asked += [
            {name: axis.values[int(rng.integers(len(axis.values)))] for name, axis in unit.axes.items()}
            for _ in range(anywhere)
        ]
        return [band.nearest(point, seen, rng).point for point in asked]
    drawn = [band.draw(seen, rng).point for _ in range(anywhere)]
    # `nearest` in a PricedBand compares millions of candidates, a second each: there only draws are used.
    return drawn + ([] if isinstance(band, PricedBand) else [band.nearest(point, seen, rng).point for point in asked])


def _sobol(axes: Mapping[str, Choices], seed: int, ordinal: int) -> Point:
    """Return point number `ordinal` of the Sobol sequence scrambled by `seed`, by rank along each axis."""
    # Imported here because it takes 0.3 s and no other sampler needs it.
    from scipy.stats import qmc

    sequence = qmc.Sobol(len(axes), rng=seed)
    if ordinal:
        sequence.fast_forward(ordinal)
    shares = sequence.random(1)[0]
    return {
        name: axis.ordered[int(share * len(axis.values))]
        for (name, axis), share in zip(axes.items(), shares, strict=True)
    }
