"""Hypervolume against compute: how a search's front grew. Pure functions over trials."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scalesearch.records.hypervolume import hypervolume
from scalesearch.records.pareto import UP, Points, non_dominated, signed
from scalesearch.records.trials import Trial

_MARGIN = 0.1
"""Distance of the reference point beyond the most expensive candidate, as a share of the range of log costs."""


class ProgressStep(NamedTuple):
    """The state of a search after a trial."""

    ordinal: int
    hours: float
    """Hours of training of the trials so far, one after another."""
    share: float
    """Hypervolume, as a share of that of all trials."""


def progress(trials: Sequence[Trial], objectives: Sequence[str]) -> list[ProgressStep]:
    """Return the growth of the hypervolume over the trials in order; empty where fewer than two are complete.

    Costs are logarithms. The reference point has the lowest AP of the complete trials, and lies beyond the highest cost.
    """
    done = [trial for trial in trials if trial.complete]
    if len(done) < 2:
        return []
    points = signed([[_value(trial, name) for name in objectives] for trial in done], objectives)
    low, high = points.min(axis=0), points.max(axis=0)
    reference = high + np.array([0.0 if name in UP else _MARGIN for name in objectives]) * (high - low)
    reference = np.where(high > low, reference, high + 1.0)  # all are equal in it, so that it decides nothing
    whole = hypervolume(_front(points), reference)
    if whole <= 0:
        return []
    where = {trial.ordinal: position for position, trial in enumerate(done)}
    steps: list[ProgressStep] = []
    front: Points = points[:0]
    seconds = share = 0.0
    for trial in trials:
        rows = [*trial.rows, *(row for again in trial.repeats for row in again)]
        seconds += sum(float(row.seconds) for row in rows)
        if trial.ordinal in where:
            point = points[where[trial.ordinal]]
            if not (front <= point).all(axis=1).any():
                front = _front(np.vstack([front, point]))
                share = hypervolume(front, reference) / whole
        steps.append(ProgressStep(trial.ordinal, seconds / 3600, share))
    return steps


def _value(trial: Trial, name: str) -> float:
    return trial.value(name) if name in UP else math.log(max(trial.value(name), 1e-12))


def _front(points: Points) -> Points:
    kept = non_dominated(
        range(len(points)), lambda i: points[i].tolist(), [f"minimised {i}" for i in range(points.shape[1])]
    )
    return points[kept]
