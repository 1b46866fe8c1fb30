"""Repeats: candidates of a finished search that are trained again with other seeds, those that can change the front most.

One training has the noise of its seed, and the best of many is flattered by having been chosen. The next candidate to
repeat is the one with the highest knowledge gradient (Frazier et al. 2009) of the hypervolume: the improvement that is
expected of the front by the estimates after one more run. Pure functions over trials.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from scalesearch.records.front import Estimate, analysed, estimates
from scalesearch.records.hypervolume import hypervolume
from scalesearch.records.pareto import UP
from scalesearch.records.trials import Trial

Again = tuple[int, int]
"""A training to repeat: the candidate's ordinal and the seed."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(9)
"""Gauss-Hermite quadrature of a standard normal."""
_QUANTILE = 0.5
"""AP from which hypervolume counts, as a quantile of the estimates."""
_MARGIN = 0.1
"""Distance of the reference point beyond the most expensive candidate, as a share of the cost's range."""
_DIGITS = 9
"""Significant digits of a compared gain: later ones differ between processors."""


def next_repeat(
    trials: Sequence[Trial], objectives: Sequence[str], seed: int, known: Collection[Again], pending: Collection[Again]
) -> Again | None:
    """Return the next training to repeat; None where no candidate is complete.

    Args:
        trials: all trials of the search.
        seed: the study's seed; a repeat has one of the next seeds.
        known: the repeats whose results may be used, as if there were no others.
        pending: repeats in training: each is taken to confirm its candidate's estimate.
    """
    complete = [_as_known(trial, known) for trial in trials if trial.complete]
    if not complete:
        return None
    _, noise = analysed(complete)
    found = estimates(complete)
    waiting = [sum(ordinal == trial.ordinal for ordinal, _ in pending) for trial in complete]
    before = [_variance(noise.seeds, noise.candidates, one.runs + n) for one, n in zip(found, waiting, strict=True)]
    after = [_variance(noise.seeds, noise.candidates, one.runs + n + 1) for one, n in zip(found, waiting, strict=True)]
    steps = np.sqrt(np.maximum(np.array(before) - after, 0.0))
    gains = _gains(complete, found, steps, objectives)
    best = complete[int(np.argmax(gains))].ordinal
    used = sum(ordinal == best for ordinal, _ in (*known, *pending))
    return best, seed + 1 + used


def _as_known(trial: Trial, known: Collection[Again]) -> Trial:
    return replace(trial, repeats=tuple(rows for rows in trial.repeats if (trial.ordinal, rows[0].seed) in known))


def _variance(seeds: float, candidates: float, runs: int) -> float:
    """Return the variance of a candidate's mean AP after this many runs."""
    return candidates * seeds / (runs * candidates + seeds) if seeds else 0.0


def _gains(
    trials: Sequence[Trial], found: Sequence[Estimate], steps: np.ndarray, objectives: Sequence[str]
) -> np.ndarray:
    """Return the expected gain in hypervolume [N] by one more run of each candidate, whose estimate moves by `steps`."""
    means = np.array([one.mean for one in found])
    points = np.array([[_cost(trial, name) for name in objectives] for trial in trials])
    ap = [name in UP for name in objectives].index(True)
    points[:, ap] = -means
    reference = points.max(axis=0) + _MARGIN * np.ptp(points, axis=0)
    reference[ap] = -float(np.quantile(means, _QUANTILE))
    now = hypervolume(points, reference)
    gains = np.zeros(len(trials))
    for i in _contenders(points, steps, ap):
        moved = points.copy()
        volumes = []
        for node in _NODES:
            moved[i, ap] = points[i, ap] - steps[i] * node
            volumes.append(hypervolume(moved, reference))
        gains[i] = float(_WEIGHTS @ volumes) / math.sqrt(2 * math.pi) - now
    largest = gains.max(initial=0.0)
    return (gains / largest).round(_DIGITS) if largest > 0 else steps


def _contenders(points: np.ndarray, steps: np.ndarray, ap: int) -> list[int]:
    """Return the candidates that are on the front, or would be if their estimate rose by three of its steps."""
    found = []
    for i in range(len(points)):
        raised = points[i].copy()
        raised[ap] -= 3 * steps[i]
        others = np.delete(points, i, axis=0)
        if not ((others <= raised).all(axis=1) & (others < raised).any(axis=1)).any():
            found.append(i)
    return found


def _cost(trial: Trial, name: str) -> float:
    return 0.0 if name in UP else math.log(max(trial.value(name), 1e-12))
