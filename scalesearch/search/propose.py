"""A proposal as a pure function of (study seed, ordinal, trials so far): no sampler state is kept.

An in-memory Optuna study is rebuilt from the trials, a fresh sampler seeded from (seed, ordinal) asks
it, and the answer is snapped to the nearest unseen candidate of the band. So a resumed study is the
uninterrupted one, and what a sampler asks for outside the band never becomes a trial.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection

from scalesearch.arch.cost import Cost
from scalesearch.arch.space import WORDS, Choices, Point, Value
from scalesearch.plan.sections import SamplerPlan
from scalesearch.records.front import UP
from scalesearch.records.trials import Trial
from scalesearch.search.band import Band
from scalesearch.search.unit import Candidate

DIRECTIONS = {
    name: StudyDirection.MAXIMIZE if name in UP else StudyDirection.MINIMIZE for name in ("ap", *Cost._fields)
}
"""Optuna's direction of each objective."""


@dataclass(frozen=True)
class Proposal:
    """A candidate to train, and who asked for it: grid, random, or the sampler's name."""

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
) -> Proposal:
    """The candidate number `ordinal`, inside the band and unlike all of `trials` and the keys `taken`.

    Raises EmptyBandError when every candidate of the band has been tried.
    """
    seen = {trial.key for trial in trials} | set(taken)
    rng = np.random.default_rng([seed, ordinal])
    if sampler.name == "grid":
        return Proposal(band.grid(seen), "grid")
    told = [trial for trial in trials if trial.complete]
    if sampler.name == "random" or ordinal < sampler.startup or not told or not band.unit.axes:
        return Proposal(band.draw(seen, rng), "random")
    asked = _ask(band.unit.axes, objectives, int(rng.integers(2**31)), told)
    return Proposal(band.nearest(asked, seen, rng), sampler.name)


def _ask(axes: Mapping[str, Choices], objectives: Sequence[str], seed: int, trials: Sequence[Trial]) -> Point:
    directions = [DIRECTIONS[name] for name in objectives]
    space = {name: distribution(name, axis) for name, axis in axes.items()}
    # The random start is ours, inside the band: the model takes over from its first ask.
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=0)
    study = optuna.create_study(directions=directions, sampler=sampler)
    study.add_trials(
        optuna.trial.create_trial(
            params={name: _encode(name, axes[name], value) for name, value in trial.point.items()},
            distributions=space,
            values=trial.values(objectives),
        )
        for trial in trials
    )
    answer = study.ask(fixed_distributions=space).params
    return {name: _decode(name, axes[name], answer[name]) for name in axes}


def distribution(name: str, axis: Choices) -> BaseDistribution:
    """Names as categories, numbers as ranks: a listed axis is as ordered as a stepped one."""
    if name in WORDS:
        return CategoricalDistribution(axis.values)
    return IntDistribution(0, len(axis.values) - 1)


def _encode(name: str, axis: Choices, value: Value) -> Value:
    return value if name in WORDS else sorted(axis.values).index(value)


def _decode(name: str, axis: Choices, value: Value) -> Value:
    return value if name in WORDS else sorted(axis.values)[int(value)]
