"""Expected hypervolume improvement where only AP is uncertain: the costs of a candidate are known exactly.

Improvement is integrated over the costs (Emmerich et al. 2006): at costs z, a candidate that costs no more improves the
front by what its AP exceeds the best AP that is had for z. So the expectation is a sum of expected improvements (Jones
et al. 1998), each weighted by the volume of costs where its level holds. With AP as the only objective it is one
expected improvement. Pure functions over arrays.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import ndtr

from scalesearch.study.gaussian_process import Array, Prediction

_SAMPLES = 1024
"""Points in the space of several costs; exact intervals are used for one."""


def expected_improvement(prediction: Prediction, level: float) -> Array:
    """Return E[max(AP - level, 0)] [N]."""
    off = (prediction.mean - level) / prediction.deviation
    density = np.exp(-(off**2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray(np.maximum(prediction.deviation * (off * ndtr(off) + density), 0.0))


def ehvi(prediction: Prediction, costs: Array, front_ap: Array, front_costs: Array, ap: float, ends: Array) -> Array:
    """Return the expected hypervolume improvement of N candidates.

    Args:
        prediction: AP of the candidates.
        costs: their costs [N, C], C from 0; every cost is minimised.
        front_ap: AP [M] of what is known.
        front_costs: its costs [M, C].
        ap: AP from which hypervolume counts.
        ends: costs [C] up to which it counts.
    """
    if not costs.shape[1]:
        return expected_improvement(prediction, float(front_ap.max(initial=ap)))
    levels, weights = (_intervals if costs.shape[1] == 1 else _sampled)(costs, front_ap, front_costs, ap, ends)
    total = np.zeros(len(costs))
    for level, weight in zip(levels, weights, strict=True):
        some = weight > 0
        few = Prediction(prediction.mean[some], prediction.deviation[some])
        total[some] += weight[some] * expected_improvement(few, float(level))
    return total


def _intervals(costs: Array, front_ap: Array, front_costs: Array, ap: float, ends: Array) -> tuple[Array, Array]:
    """Return the levels [K] of the front over one cost, and the length of each level's interval beyond a candidate's
    cost [K, N]."""
    order = np.argsort(front_costs[:, 0], kind="stable")
    best = np.maximum.accumulate(np.append(ap, front_ap[order]))
    starts = np.append(-np.inf, front_costs[order, 0])
    rises = np.append(True, best[1:] > best[:-1])
    levels, starts = best[rises], starts[rises]
    stops = np.append(starts[1:], ends[0])
    mine = costs[:, 0]
    weights = [
        np.maximum(np.minimum(stop, ends[0]) - np.maximum(mine, start), 0.0)
        for start, stop in zip(starts, stops, strict=True)
    ]
    return levels, np.array(weights)


def _sampled(costs: Array, front_ap: Array, front_costs: Array, ap: float, ends: Array) -> tuple[Array, Array]:
    """Return as `_intervals` the levels and volumes [K, N] over several costs, by points spread evenly in their box."""
    low = np.minimum(costs.min(axis=0), front_costs.min(axis=0, initial=np.inf))
    points = low + _sobol(costs.shape[1]) * (ends - low)
    had = (front_costs[None] <= points[:, None]).all(axis=2)
    best = np.where(had, front_ap, ap).max(axis=1, initial=ap)
    levels, which = np.unique(best, return_inverse=True)
    volume = float(np.prod(ends - low)) / len(points)
    covered = (costs[:, None] <= points[None]).all(axis=2).astype(np.float64)
    return levels, (covered @ np.eye(len(levels))[which.reshape(-1)]).T * volume


@lru_cache(maxsize=8)
def _sobol(dimensions: int) -> Array:
    from scipy.stats import qmc

    return np.asarray(qmc.Sobol(dimensions, rng=0).random(_SAMPLES))
