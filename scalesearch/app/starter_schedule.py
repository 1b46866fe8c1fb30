"""How many trials and steps of training fit into a given time, by the measured time of a step. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise

from scalesearch.app.step_times import StepTimes
from scalesearch.data.summary import DataSummary
from scalesearch.plan.ladder import Ladder, Rung, epochs_at
from scalesearch.plan.recipe import Recipe

REPEATS = 0.2
TOP, SEEDS = 2, (0, 1, 2)
LEAST_TRIALS, MOST_TRIALS = 12, 60
_IN_TRAINING = 8
"""Candidates in training at a time, over all workers: each is proposed before the results of the others are known."""
_FACTORS = (3.0, 2.0, 1.5, 1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Of the steps, tried in this order: more than usual only where all the trials fit, fewer where too few fit."""
_START = 60.0
"""Seconds for reading the data, starting the workers, the report."""
_SHORT_RUNG = 100
"""Steps below which a rung says little."""


@dataclass(frozen=True, kw_only=True)
class StarterSchedule:
    """What a starter plan trains, and how long that will take."""

    trials: int
    recipe: Recipe
    """Of the search."""
    final: Recipe
    """Of the winners."""
    ladder: Ladder | None
    together: int
    """Candidates that a worker trains together."""
    seconds: float
    """Expected time of the whole study."""


def starter_schedule(
    summary: DataSummary, search: Recipe, final: Recipe, times: StepTimes, *, workers: int, minutes: float
) -> StarterSchedule:
    """Return the schedule that fits into `minutes`, or the shortest one where none does.

    The search trains two epochs, 200 to 1,000 steps; winners eight, 600 to 4,000.
    """
    whole, together = summary.train + summary.select, max(1, _IN_TRAINING // workers)
    steps = (_between(200, 2 * summary.train / search.batch, 1000), _between(600, 8 * whole / search.batch, 4000))
    for factor in _FACTORS:
        recipe = replace(search, steps=_round(steps[0] * factor))
        last = replace(final, steps=_round(steps[1] * factor))
        ladder = _ladder(recipe.for_images(summary.train))
        least = MOST_TRIALS if factor > 1 else LEAST_TRIALS
        for trials in range(MOST_TRIALS, least - 1, -1):
            seconds = _seconds(summary, recipe, last, ladder, trials, times, together) / workers + _START
            if seconds <= 60 * minutes or (factor == _FACTORS[-1] and trials == least):
                return StarterSchedule(
                    trials=trials, recipe=recipe, final=last, ladder=ladder, together=together, seconds=seconds
                )
    raise AssertionError("the shortest schedule is always returned")


def _ladder(recipe: Recipe) -> Ladder | None:
    """Return the ladder with the most rungs that differ in epochs and are long enough; None without one."""
    for shares in ((0.1, 0.3), (0.3,)):
        ladder = Ladder(rungs=tuple(Rung(epochs=share) for share in shares))
        if len(shares) > 1 and shares[0] * recipe.steps < _SHORT_RUNG:
            continue
        try:
            ladder.epochs(recipe.epochs)
        except ValueError:
            continue
        return ladder
    return None


def _seconds(
    summary: DataSummary,
    recipe: Recipe,
    final: Recipe,
    ladder: Ladder | None,
    trials: int,
    times: StepTimes,
    together: int,
) -> float:
    """Return the expected seconds of all trainings, one after the other.

    An evaluation passes the batches of its norms and its images; a pass takes at most a frozen step, and half of a whole
    one. On a ladder half of the candidates in training are at another rung, and so in another group.
    """
    step = times.shared(max(1.0, together / 2) if ladder else together)
    repeats = math.floor(REPEATS * trials + 1e-9)
    epochs = recipe.for_images(summary.train).epochs
    rungs, keep = (0, *epochs_at(ladder, epochs)), ladder.keep if ladder else 1.0
    parts = [((there - here) / epochs, keep**i) for i, (here, there) in enumerate(pairwise(rungs))]
    chosen = _batches(summary.select, recipe)
    candidate = sum(share * (part * recipe.steps + chosen) for part, share in parts)
    search = (trials - repeats) * candidate + repeats * (recipe.steps + chosen)
    winners = TOP * len(SEEDS)
    passes = _batches(summary.val, final)
    return step * search + times.whole * winners * (final.steps + passes / 2)


def _batches(images: int, recipe: Recipe) -> int:
    return recipe.norm_batches + math.ceil(images / recipe.batch)


def _between(low: int, value: float, high: int) -> float:
    return min(max(value, low), high)


def _round(steps: float) -> int:
    return max(20, round(steps / 20) * 20)
