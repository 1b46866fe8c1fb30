"""Bayesian optimization with exact costs: the candidate of the band with the highest expected hypervolume improvement.

Only AP is modelled, by a Gaussian process over what is known of a candidate without training (`space/features.py`). A
cost is known exactly, so a model of it would be waste. The candidate is chosen among the band itself where it is
enumerated, else among a pool inside it. On a ladder the model also observes the AP at the rungs, and says who goes on.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from scalesearch.records.pareto import UP, non_dominated
from scalesearch.records.trials import Trial
from scalesearch.space.band import Band, Seen
from scalesearch.space.candidates import Candidate, inside
from scalesearch.space.enumerated import EnumeratedBand, PricedBand
from scalesearch.space.features import FeatureTable, features
from scalesearch.space.space import Point
from scalesearch.study.believer import Believer
from scalesearch.study.ehvi import ehvi
from scalesearch.study.evolution import mutant
from scalesearch.study.final_ap import final_ap, milestone
from scalesearch.study.gaussian_process import Prediction

_MOST, _ENTRIES = 4_000, 2_000_000
"""The most candidates that are compared: 0.6 s with 1,000 observations. While others train, their number times that of the
observations is bounded, too: a proposal must not take long, since each has a draw of its own."""
_CHUNK = 256
"""Candidates whose improvement is computed exactly at a time, best bounds first."""
_FITTED = 128
"""Observations that hyperparameters are fitted to while others train."""
_DRAWN, _PROJECTED, _PROJECTED_GRAPHS = 1_000, 64, 8
"""Draws of a pool. A projected band moves a number into it in 2 ms, a random graph in 30 ms."""
_MUTANTS, _MUTANT_GRAPHS, _CHANGES = 600, 200, 3
"""Mutants of the front in a pool, of graphs fewer, and the most changes of one; those outside the band are dropped. One
takes 0.2 ms, of a graph 0.4 ms."""
_MARGIN = 0.1
"""Distance of the reference point beyond the most expensive candidate, as a share of the cost's range."""
_QUANTILE = 0.5
"""AP from which hypervolume counts, as a quantile of what has been observed."""
_LEAST = 1e-9
"""A value below every metric; keeps logarithms finite."""
_DIGITS = 9
"""Significant digits of a compared improvement: later ones differ between processors."""


def choose(
    band: Band,
    objectives: Sequence[str],
    known: Sequence[tuple[Trial, Sequence[float]]],
    pending: Sequence[Point],
    seen: Seen,
    rng: np.random.Generator,
) -> Candidate:
    """Return the unseen candidate of the band with the highest expected hypervolume improvement.

    `known` are the observed trials with their objectives. `pending` are points in training: each is taken to come to
    its expected AP (Ginsbourger et al. 2010, "kriging believer"). Raises EmptyBandError when all have been tried.
    """
    if isinstance(band, EnumeratedBand):
        table, candidates, observed, busy = _enumerated(band, known, pending, seen, rng)
    else:
        table, candidates, observed, busy = _pooled(band, objectives, known, pending, seen, rng)
    if not observed:  # all that was trained is outside a band that has changed
        return band.draw(seen, rng)
    first = len(observed) + busy
    costs = _costs(candidates, [name for name in objectives if name not in UP])
    here, groups = table.values, table.groups
    ends = _ends(costs)
    trials, ap = [trial for trial, _ in observed], _ap_of(observed, objectives)
    if busy and not any(trial.stopped for trial in trials):
        fitted = _fitted([trial.ordinal for trial in trials])
        posterior = Believer(here[: len(ap)], np.array(ap), groups, here[len(ap) : first], here[first:], fitted)
        return candidates[first + _best(posterior, costs[first:], costs[:first], ends)]
    found = final_ap(trials, ap, here[: len(ap)], groups, here[first:], here[len(ap) : first])
    level = float(np.quantile(found.observed, _QUANTILE))
    gains = ehvi(found.wanted, costs[first:], found.observed, costs[:first], level, ends)
    return candidates[first + int(np.argmax(_rounded(gains)))]


def _best(
    posterior: Believer, costs: NDArray[np.float64], known: NDArray[np.float64], ends: NDArray[np.float64]
) -> int:
    """Return the candidate of the highest improvement, exact for as many as may have it: improvement grows with the
    deviation, which has a bound."""
    level = float(np.quantile(posterior.known, _QUANTILE))

    def improvement(rows: NDArray[np.int64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
        return ehvi(Prediction(posterior.mean[rows], deviation), costs[rows], posterior.known, known, level, ends)

    every = np.arange(len(costs))
    bounds = improvement(every, posterior.bound)
    order = np.argsort(-bounds, kind="stable")
    posterior.believe(order[:_CHUNK])
    gains = np.zeros(len(costs))
    for start in range(0, len(order), _CHUNK):
        some = order[start : start + _CHUNK]
        if start and gains.max() > bounds[some[0]]:
            break
        gains[some] = improvement(some, posterior.deviations(some))
    return int(np.argmax(_rounded(gains)))


_KnownTrials = Sequence[tuple[Trial, Sequence[float]]]
"""The observed trials with their objectives."""
_Contenders = tuple[FeatureTable, list[Candidate], _KnownTrials, int]
"""Features of all candidates; the candidates: the observed ones, those in training, then the pool; the observed ones;
the number in training."""


def _enumerated(
    band: EnumeratedBand,
    known: Sequence[tuple[Trial, Sequence[float]]],
    pending: Sequence[Point],
    seen: Seen,
    rng: np.random.Generator,
) -> _Contenders:
    pool = band.unseen(seen)
    most = _MOST if not pending else min(_MOST, _ENTRIES // max(len(known), 1))
    if len(pool) > most:
        pool = np.sort(rng.choice(pool, most, replace=False))
    observed = [(place, item) for item in known for place in band.positions([item[0].key])]
    busy = band.positions(band.key(point) for point in pending)
    rows = [*(place for place, _ in observed), *busy, *pool.tolist()]
    table = FeatureTable(band.features.values[rows], band.features.groups)
    return table, [band.candidates[i] for i in rows], [item for _, item in observed], len(busy)


def _pooled(
    band: Band,
    objectives: Sequence[str],
    known: Sequence[tuple[Trial, Sequence[float]]],
    pending: Sequence[Point],
    seen: Seen,
    rng: np.random.Generator,
) -> _Contenders:
    front = [trial.point for trial, _ in non_dominated(known, lambda item: item[1], objectives)]
    pool = {candidate.key: candidate for candidate in _pool(band, front, seen, rng)}
    points = [*(trial.point for trial, _ in known), *pending]
    candidates = [*map(band.unit.solve, points), *pool.values()]
    return features(band.unit, candidates), candidates, list(known), len(pending)


def _pool(band: Band, front: Sequence[Point], seen: Seen, rng: np.random.Generator) -> Iterator[Candidate]:
    """Yield unseen candidates inside the band: some from anywhere, and mutants of the front."""
    unit = band.unit
    if isinstance(band, PricedBand):
        drawn = (band.candidate(int(i)) for i in rng.integers(band.count, size=_DRAWN))
        yield from (candidate for candidate in drawn if candidate.key not in seen)
        yield band.draw(seen, rng)  # of a band that is nearly used up, all of those may have been tried
    else:
        # Not `band.draw`, which is uniform but takes 40 ms, for a graph 260 ms.
        for _ in range(_PROJECTED_GRAPHS if unit.genes else _PROJECTED):
            point = {name: axis.values[int(rng.integers(len(axis.values)))] for name, axis in unit.axes.items()}
            yield band.nearest(point, seen, rng)
    for _ in range(_MUTANT_GRAPHS if unit.genes else _MUTANTS):
        point = front[int(rng.integers(len(front)))]
        for _ in range(int(rng.integers(1, _CHANGES + 1))):
            point = mutant(point, unit.axes, unit.genes, rng)
        candidate = unit.solve(point)
        if inside(unit, candidate) and candidate.key not in seen:
            yield candidate


def promotion_gains(
    band: Band,
    objectives: Sequence[str],
    known: Sequence[tuple[Trial, Sequence[float]]],
    waiting: Sequence[Trial],
    ahead: Sequence[Trial],
) -> list[float] | None:
    """Return the expected hypervolume improvement of each trial `waiting` at a rung over those `ahead`; None where no trial
    is expected to improve it, or one is outside a band that has changed.

    It is that of the final AP: what a trial has shown at the rungs counts as much as the model can tell from it.
    """
    if (modelled := _known_features(band, known)) is None:
        return None
    trials, candidates, table = modelled
    place = {trial.ordinal: i for i, trial in enumerate(trials)}
    mine, others = ([place[trial.ordinal] for trial in some] for some in (waiting, ahead))
    costs = _costs(candidates, [name for name in objectives if name not in UP])
    found = final_ap(trials, _ap_of(known, objectives), table.values, table.groups, table.values[mine])
    level = float(found.observed.min())  # not the median: the front's cheap end is on the ladder, too
    gains = _rounded(ehvi(found.wanted, costs[mine], found.observed[others], costs[others], level, _ends(costs)))
    return gains.tolist() if gains.max() > 0 else None


def _known_features(band: Band, known: _KnownTrials) -> tuple[list[Trial], list[Candidate], FeatureTable] | None:
    """Return trials, their candidates and features; None where one is outside a band that has changed."""
    trials = [trial for trial, _ in known]
    if isinstance(band, EnumeratedBand):
        rows = band.positions(trial.key for trial in trials)
        if len(rows) < len(trials):
            return None
        table = FeatureTable(band.features.values[rows], band.features.groups)
        return trials, [band.candidates[i] for i in rows], table
    candidates = [band.unit.solve(trial.point) for trial in trials]
    return trials, candidates, features(band.unit, candidates)


def _ap_of(observed: _KnownTrials, objectives: Sequence[str]) -> list[float]:
    place = next(k for k, name in enumerate(objectives) if name in UP)
    return [values[place] for _, values in observed]


def _ends(costs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the costs up to which hypervolume counts [C]."""
    return np.asarray(costs.max(axis=0) + _MARGIN * np.ptp(costs, axis=0))


def _costs(candidates: Sequence[Candidate], names: Sequence[str]) -> NDArray[np.float64]:
    """Return the logarithms of the costs [N, C], the mean over members as of a trial's objectives."""
    logs = [[math.log(max(one.mean_cost(name), _LEAST)) for name in names] for one in candidates]
    return np.array(logs, dtype=np.float64).reshape(len(candidates), len(names)).round(_DIGITS)


def _fitted(ordinals: Sequence[int]) -> list[int]:
    """Return the positions of the observations that hyperparameters are fitted to while others train: of ordinals spread
    evenly, so that those that come late change few of them."""
    count = milestone(ordinals[-1] + 1)
    spread = set(np.linspace(0, count - 1, min(count, _FITTED)).astype(np.int64).tolist())
    return [i for i, ordinal in enumerate(ordinals) if ordinal in spread] or list(range(len(ordinals)))


def _rounded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    largest = float(values.max())
    return values if largest <= 0 else (values / largest).round(_DIGITS)
