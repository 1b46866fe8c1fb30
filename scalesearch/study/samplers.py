"""Optuna's samplers: for each point an in-memory study is rebuilt and a fresh sampler asked; no state is kept.

A point is a pure function of its arguments: categories have a constant order, numbers are ranks, and no attribute of a
trial or study remains from an earlier ask. Imports Optuna, which imports torch and SciPy for GP only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from datetime import datetime
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, TPESampler
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from scalesearch.plan.sections import OBJECTIVES, SamplerPlan
from scalesearch.records.pareto import UP, non_dominated
from scalesearch.space.space import AxisValue, Choices, Point
from scalesearch.study.evolution import Observations

DIRECTIONS = {name: StudyDirection.MAXIMIZE if name in UP else StudyDirection.MINIMIZE for name in OBJECTIVES}
"""Optuna's direction of each objective."""

Pool = Callable[[], Sequence[Point]]
"""Draws unseen points of the band."""

_FITTED = 1_000_000
"""Largest rows x rows x axes of GP's kernel: 0.4 s a fit."""
_DECIMALS = 9
"""Decimals of a model's score of a point: later ones differ between processors."""
_APART = 2.0**-40
"""Offset between equal ranks of an axis, which gives them an order and rounds away."""
_LONG_AGO = datetime(2000, 1, 1)


def ask(
    sampler: SamplerPlan,
    axes: Mapping[str, Choices],
    objectives: Sequence[str],
    seed: int,
    observed: Observations,
    pending: Sequence[Point],
    expected: Callable[[Point], Sequence[float]],
    pool: Pool,
) -> Point:
    """Return the point that Optuna's sampler asks for given `observed`: in the band for GP, else anywhere.

    TPE takes the points `pending`, which are in training, for poor ones, and GP takes them to come to what is `expected` of
    them (Ginsbourger et al. 2010, "constant liar"): so neither asks for their near twins. The children of NSGA-II are
    drawn at random.
    """
    space = {name: rank_distribution(axis) for name, axis in sorted(axes.items())}
    if sampler.name == "gp":
        pending = pending[-(_most(len(axes)) // 2) :]
        observed = _few(observed, objectives, _most(len(axes)) - len(pending))
        observed = [*observed, *((point, expected(point)) for point in pending)]
    storage = optuna.storages.InMemoryStorage()
    study = optuna.create_study(
        storage=storage,
        study_name="observations",
        directions=[DIRECTIONS[name] for name in objectives],
        sampler=_fresh(sampler, seed, lambda: [_encode(axes, point) for point in pool()]),
    )
    number = storage.get_study_id_from_name("observations")
    for point, values in observed:
        storage.create_new_trial(number, template_trial=_observed_trial(space, _encode(axes, point), values))
    for point in pending if sampler.name == "tpe" else ():
        storage.create_new_trial(number, template_trial=_observed_trial(space, _encode(axes, point), None))
    answer = study.ask(fixed_distributions=space).params
    return {name: _decode(axes[name], answer[name]) for name in axes}


def _fresh(sampler: SamplerPlan, seed: int, pool: Callable[[], Sequence[Point]]) -> BaseSampler:
    # The random start is done in `propose`, inside the band: the samplers use their model from the first ask.
    match sampler.name:
        case "tpe":
            return _TPE(seed)
        case "nsga2":
            return _NSGA2(seed=seed, population_size=sampler.population)
        case "gp":
            return _GP(seed, pool)
        case _:
            raise AssertionError(f"{sampler.name} is not Optuna's")


class _TPE(TPESampler):
    """TPE that chooses the same on every processor.

    Two values of an axis with equally many good and bad trials near them have equal scores, except for the last bits of
    NumPy's exp and log, which SSE, AVX2 and AVX-512 round differently.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(seed=seed, n_startup_trials=0, constant_liar=True)
        self._parzen_estimator_cls = _Parzen

    def _compute_acquisition_func(self, samples: Any, mpe_below: Any, mpe_above: Any) -> NDArray[np.float64]:
        scores: NDArray[np.float64] = super()._compute_acquisition_func(samples, mpe_below, mpe_above)
        return scores.round(_DECIMALS)


class _Parzen(_ParzenEstimator):
    """Parzen estimator independent of how a processor sorts equal values: the first observed comes first.

    A kernel's width is the distance to its neighbours, so one of several equal values can be wide. NumPy's sort, which
    finds the neighbours, orders equal values differently with AVX-512 and AVX2.
    """

    def _calculate_numerical_distributions(self, observations: NDArray[Any], search_space: Any, parameters: Any) -> Any:
        order = np.argsort(observations, kind="stable")
        places = np.empty(len(order))
        places[order] = np.arange(len(order))
        return super()._calculate_numerical_distributions(observations + _APART * places, search_space, parameters)


class _NSGA2(NSGAIISampler):
    """NSGA-II whose generations are consecutive trials of the study, `population_size` each.

    Optuna keeps a trial's generation in an attribute, which a rebuilt study lacks: every ask would be of generation 0,
    without parents, and random.
    """

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return study.get_trials(deepcopy=False)[0].distributions

    def get_trial_generation(self, study: optuna.Study, trial: FrozenTrial) -> int:
        return trial.number // (self.population_size or 1)

    def get_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        size = self.population_size or 1
        return study.get_trials(deepcopy=False)[generation * size : (generation + 1) * size]

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        for generation in range(1, self.get_trial_generation(study, trial)):
            # The study caches each, from the first on: asking for the last one first would recurse through all.
            self.get_parent_population(study, generation)
        return super().sample_relative(study, trial, search_space)


class _GP(GPSampler):
    """GP that chooses among unseen points of the band.

    Over the whole space, with a cost as objective, its acquisition is highest at points cheaper than the band, all of
    which snap to the band's lower end. Its local search also took 4 s with genes of 40 axes.
    """

    def __init__(self, seed: int, pool: Callable[[], Sequence[Point]]) -> None:
        super().__init__(seed=seed, n_startup_trials=0, warn_independent_sampling=False)
        self._pool = pool

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return study.get_trials(deepcopy=False)[0].distributions

    def _optimize_acqf(self, acqf: Any, best_params: NDArray[np.float64] | None) -> NDArray[np.float64]:
        points = list(self._pool())
        places: NDArray[np.float64] = acqf.search_space.get_normalized_params(points, points)
        best: NDArray[np.float64] = places[int(np.argmax(acqf.eval_acqf_no_grad(places)))]
        return best


def _most(axes: int) -> int:
    """Return the number of observations that `_FITTED` allows."""
    return math.isqrt(_FITTED // axes)


def _few(observed: Observations, objectives: Sequence[str], most: int) -> Observations:
    """Return at most this many observations: those on the front, then the latest of the others."""
    front = {id(item) for item in non_dominated(observed, lambda item: item[1], objectives)}
    best = sorted(range(len(observed)), key=lambda i: (id(observed[i]) in front, i))[-most:]
    return [observed[i] for i in sorted(best)]


class _ShallowTrial(FrozenTrial):
    """An immutable trial, copied shallowly: Optuna deep-copies each one it is given (0.9 s for 1,000 with 40 axes)."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _ShallowTrial:
        return copy(self)


def _observed_trial(space: dict[str, BaseDistribution], params: Point, values: Sequence[float] | None) -> FrozenTrial:
    """Return a complete trial, or one that is running where there are no values yet."""
    return _ShallowTrial(
        number=-1,
        trial_id=-1,
        state=TrialState.RUNNING if values is None else TrialState.COMPLETE,
        value=None,
        values=values,
        datetime_start=_LONG_AGO,
        datetime_complete=None if values is None else _LONG_AGO,
        params=params,
        distributions=space,
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )


def rank_distribution(axis: Choices) -> BaseDistribution:
    """Return names as categories and numbers as ranks: a listed axis is as ordered as a stepped one."""
    if axis.named:
        return CategoricalDistribution(axis.values)
    return IntDistribution(0, len(axis.values) - 1)


def _encode(axes: Mapping[str, Choices], point: Point) -> Point:
    return {name: point[name] if axis.named else axis.ranks[point[name]] for name, axis in axes.items()}


def _decode(axis: Choices, value: AxisValue) -> AxisValue:
    return value if axis.named else axis.ordered[int(value)]
