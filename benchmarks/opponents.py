"""Samplers of other libraries on a space with a band, each used as its own documentation does it.

    pip install pymoo==0.6.2 smac==2.4.1        # the versions that were compared; Optuna is there already

All search the whole space for two objectives, the score and the cost, and are told of the band by constraints; SMAC3,
which knows none, by a penalty. Numbers are given by their rank, as the samplers of scalesearch see them.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

from scalesearch.space.space import AxisValue, Choices, Point

Axes = Mapping[str, Choices]

POPULATION = 20
"""Of NSGA-II, in Optuna (50 by default) and pymoo (100): five generations in 100 evaluations."""
PENALTY = 1.0
"""What SMAC3 sees added to both objectives outside the band, in addition to the distance from it."""


class Evaluation(NamedTuple):
    """What an opponent learns of a point."""

    score: float
    """To maximise."""
    cost: float
    """Its logarithm, to minimise."""
    violations: Mapping[str, float]
    """By how much each bound is missed, as a log ratio; at most 0 inside."""


Evaluate = Callable[[Point], Evaluation]
Opponent = Callable[[Axes, Sequence[str], Evaluate, int, int], None]
"""Evaluates points of the axes; takes the names of the violations, the seed and the number of evaluations."""


def _optuna(make: Callable[[Any, int], Any]) -> Opponent:
    """Return an Optuna sampler with constraints set on each trial (Trial.set_constraint)."""

    def search(axes: Axes, bounds: Sequence[str], evaluate: Evaluate, seed: int, trials: int) -> None:
        import optuna

        def objective(trial: optuna.Trial) -> tuple[float, float]:
            found = evaluate({name: _suggested(trial, name, axis) for name, axis in axes.items()})
            for name, value in found.violations.items():
                trial.set_constraint(name, value)
            return found.score, found.cost

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of experimental features
            sampler = make(optuna.samplers, seed)
            study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
            study.optimize(objective, n_trials=trials)

    return search


def _suggested(trial: Any, name: str, axis: Choices) -> AxisValue:
    if axis.named:
        return str(trial.suggest_categorical(name, axis.values))
    return axis.ordered[trial.suggest_int(name, 0, len(axis.values) - 1)]


def pymoo_nsga2(axes: Axes, bounds: Sequence[str], evaluate: Evaluate, seed: int, trials: int) -> None:
    """NSGA-II over names and numbers: pymoo's MixedVariableGA with its survival, constraint domination included."""
    from pymoo.algorithms.moo.nsga2 import RankAndCrowdingSurvival
    from pymoo.core.mixed import MixedVariableGA
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.core.variable import Choice, Integer
    from pymoo.optimize import minimize

    class InBand(ElementwiseProblem):  # type: ignore[misc]  # untyped base
        def __init__(self) -> None:
            super().__init__(
                vars={
                    name: Choice(options=list(axis.values)) if axis.named else Integer(bounds=(0, len(axis.values) - 1))
                    for name, axis in axes.items()
                },
                n_obj=2,
                n_ieq_constr=len(bounds),
            )

        def _evaluate(self, x: Mapping[str, Any], out: dict[str, Any], *_: object, **__: object) -> None:
            found = evaluate(_by_rank(axes, x))
            out["F"], out["G"] = [-found.score, found.cost], [found.violations[name] for name in bounds]

    algorithm = MixedVariableGA(pop_size=POPULATION, survival=RankAndCrowdingSurvival())
    minimize(InBand(), algorithm, ("n_eval", trials), seed=seed, verbose=False)


def smac_parego(axes: Axes, bounds: Sequence[str], evaluate: Evaluate, seed: int, trials: int) -> None:
    """SMAC3's facade for hyper-parameters (random forest) with ParEGO; outside the band both objectives are penalised."""
    from ConfigSpace import Categorical, ConfigurationSpace, Integer
    from smac import HyperparameterOptimizationFacade, Scenario
    from smac.multi_objective.parego import ParEGO

    space = ConfigurationSpace(seed=seed)
    space.add(
        [
            Categorical(name, list(axis.values)) if axis.named else Integer(name, (0, len(axis.values) - 1))
            for name, axis in axes.items()
        ]
    )

    def target(config: Mapping[str, Any], seed: int = 0) -> dict[str, float]:
        found = evaluate(_by_rank(axes, config))
        off = max(0.0, *found.violations.values())
        penalty = PENALTY + off if off > 0 else 0.0
        return {"loss": penalty - found.score, "cost": penalty + found.cost}

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scenario = Scenario(
            space,
            objectives=["loss", "cost"],
            n_trials=trials,
            deterministic=True,
            seed=seed,
            output_directory=folder,  # type: ignore[arg-type]
        )
        HyperparameterOptimizationFacade(
            scenario, target, multi_objective_algorithm=ParEGO(scenario), overwrite=True, logging_level=40
        ).optimize()


def _by_rank(axes: Axes, given: Mapping[str, Any]) -> Point:
    return {name: str(given[name]) if axis.named else axis.ordered[int(given[name])] for name, axis in axes.items()}


OPPONENTS: Mapping[str, tuple[Opponent, str]] = {
    "optuna-tpe": (_optuna(lambda samplers, seed: samplers.TPESampler(seed=seed)), "optuna"),
    "optuna-nsga2": (
        _optuna(lambda samplers, seed: samplers.NSGAIISampler(seed=seed, population_size=POPULATION)),
        "optuna",
    ),
    "optuna-gp": (_optuna(lambda samplers, seed: samplers.GPSampler(seed=seed)), "optuna"),
    "pymoo-nsga2": (pymoo_nsga2, "pymoo"),
    "smac-parego": (smac_parego, "smac"),
}
"""By name: the opponent and the package that it is from."""


def version_of(name: str) -> str:
    """Return package and version of an opponent."""
    package = OPPONENTS[name][1]
    return f"{package} {version(package)}"
