"""The front of a search, by estimated AP: candidates that were trained again with other seeds are not judged by one run.

Where nothing was trained again, the estimate is the AP itself. Pure functions over trials.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from scalesearch.records.pareto import non_dominated
from scalesearch.records.trials import Trial

_GUESS = 2.0
"""Degrees of freedom of the noise assumed before there are repeats: half of the candidates' spread about their trend."""
_LEAST = 0.01
"""Least share of that spread that is taken to be of the candidates, not noise."""
_DIGITS = 12
"""Significant digits of estimates: the order of a sum depends on the processor and changes the sixteenth."""


class Estimate(NamedTuple):
    """The mean AP over seeds of a candidate, as far as it is known."""

    mean: float
    variance: float
    """Of the mean."""
    runs: int


class Noise(NamedTuple):
    """The two sources of the spread of AP about its trend over the cost."""

    seeds: float
    """Variance between seeds."""
    candidates: float
    """Variance between candidates of equal cost."""


def estimates(trials: Sequence[Trial]) -> list[Estimate]:
    """Return the estimate of each of these complete trials, also where nothing was trained again.

    A mean over seeds is shrunk towards the trend of AP over the logarithm of the multiply-adds (Efron and Morris 1973):
    by the noise's share, which is smaller the more seeds there are. So the luckiest of many single runs, which is
    flattered by having been chosen, does not win over a mean of several.
    """
    if not trials:
        return []
    trend, noise = analysed(trials)
    return [_shrunk(runs_of(trial), level, noise) for trial, level in zip(trials, trend, strict=True)]


def _shrunk(runs: Sequence[float], level: float, noise: Noise) -> Estimate:
    of_mean = noise.seeds / len(runs)
    share = noise.candidates / (noise.candidates + of_mean) if of_mean else 1.0
    mean = level + share * (fmean(runs) - level)
    return Estimate(float(f"{mean:.{_DIGITS - 1}e}"), share * of_mean, len(runs))


def runs_of(trial: Trial) -> list[float]:
    """Return the AP of each seed, the search's own first."""
    return [trial.value("ap"), *(fmean(row.final["ap"] or 0.0 for row in rows) for rows in trial.repeats)]


def analysed(trials: Sequence[Trial]) -> tuple[list[float], Noise]:
    """Return the trend of AP at each trial's cost, and the noise about it."""
    runs = [runs_of(trial) for trial in trials]
    first = np.array([values[0] for values in runs])
    size = np.array([fmean(trial.log_macs) for trial in trials])
    off = size - size.mean()
    slope = float(off @ first / (off @ off)) if len(trials) > 2 and off @ off > 1e-12 else 0.0
    trend = first.mean() + slope * off
    spread = float(((first - trend) ** 2).sum()) / max(1, len(trials) - 2)
    squares = sum((value - fmean(values)) ** 2 for values in runs for value in values)
    freedom = sum(len(values) - 1 for values in runs)
    seeds = (squares + _GUESS * spread / 2) / (freedom + _GUESS)
    return trend.tolist(), Noise(seeds, max(spread - seeds, _LEAST * spread))


def best_trials(found: Sequence[Trial], objectives: Sequence[str]) -> list[Trial]:
    """Return the complete trials that none beats in every objective, AP as estimated; the best AP first."""
    return _front([trial for trial in found if trial.complete], _means(found), objectives)


def ranked_trials(found: Sequence[Trial], objectives: Sequence[str], count: int) -> list[Trial]:
    """Return `count` complete trials, or all there are: the front, then the front of the others, and so on.

    With AP as the only objective, whose front is one trial, these are the ones of the highest AP.
    """
    rest, means, ranked = [trial for trial in found if trial.complete], _means(found), list[Trial]()
    while rest and len(ranked) < count:
        front = _front(rest, means, objectives)
        ranked += front
        taken = {trial.ordinal for trial in front}
        rest = [trial for trial in rest if trial.ordinal not in taken]
    return ranked[:count]


def _means(found: Sequence[Trial]) -> dict[int, float]:
    """Return the AP of each complete trial, estimated where any was trained again."""
    complete = [trial for trial in found if trial.complete]
    if any(trial.repeats for trial in complete):
        return {trial.ordinal: one.mean for trial, one in zip(complete, estimates(complete), strict=True)}
    return {trial.ordinal: trial.value("ap") for trial in complete}


def _front(trials: Sequence[Trial], means: Mapping[int, float], objectives: Sequence[str]) -> list[Trial]:
    def values(trial: Trial) -> list[float]:
        return [means[trial.ordinal] if name == "ap" else trial.value(name) for name in objectives]

    return sorted(non_dominated(trials, values, objectives), key=lambda trial: (-means[trial.ordinal], trial.ordinal))


class Flattery(NamedTuple):
    """How much the luckiest single run overstates its candidate."""

    trial: Trial
    ap: float
    """Its AP in the search."""
    estimate: Estimate


def flattery(found: Sequence[Trial]) -> Flattery | None:
    """Return this of the candidate whose single run was best; None where nothing was trained again."""
    complete = [trial for trial in found if trial.complete]
    if not any(trial.repeats for trial in complete):
        return None
    luckiest, estimate = max(
        zip(complete, estimates(complete), strict=True), key=lambda pair: (pair[0].value("ap"), -pair[0].ordinal)
    )
    return Flattery(luckiest, luckiest.value("ap"), estimate)
