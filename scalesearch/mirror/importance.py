"""The importance of each axis for AP: fANOVA by Optuna, over resamples of the trials."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from statistics import fmean

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from scalesearch.evidence.importance import Importance, Importances
from scalesearch.io.logs import at_level
from scalesearch.records.front import runs_of
from scalesearch.records.trials import Trial
from scalesearch.space.space import AxisValue

FEWEST = 10
"""Fewest trials of which importance is computed."""
MOST = 400
"""Most trials that are used; of more, as many drawn by seed."""
_RESAMPLES = 100
_INTERVAL = (0.1, 0.9)


def importances(trials: Sequence[Trial]) -> Importances | None:
    """Return the importance of the axes that vary; None where fewer than `FEWEST` trials or two axes can be compared.

    Each resample of the trials (drawn with replacement) grows one tree, and fANOVA (Hutter et al. 2014) divides the
    variance that it predicts among the axes: their mean is the forest's importance, and their spread its interval. The
    AP of all trials is that after the epochs which all of them reached. The genes of a free graph are left out, since
    one of them means nothing without the others.
    """
    known = [trial for trial in trials if not trial.failed]
    epochs = min((trial.epochs_done for trial in known), default=0)
    scored = [(trial, ap) for trial in known if (ap := _ap(trial, epochs)) is not None]
    if len(scored) > MOST:
        chosen = np.random.default_rng(0).choice(len(scored), MOST, replace=False)
        scored = [scored[i] for i in sorted(chosen.tolist())]
    space = _space([trial for trial, _ in scored])
    if len(scored) < FEWEST or len(space) < 2 or len({ap for _, ap in scored}) < 2:
        return None
    with at_level("optuna", logging.WARNING):
        study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(params={name: trial.point[name] for name in space}, distributions=space, value=ap)
            for trial, ap in scored
        ]
    )
    shares: dict[str, list[float]] = {name: [] for name in space}
    for seed in range(_RESAMPLES):
        # scikit-learn's forest of one tree draws its own resample by this seed.
        found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(n_trees=1, seed=seed))
        for name in space:
            shares[name].append(float(found[name]))
    axes = [
        Importance(name, fmean(own), *(float(value) for value in np.quantile(own, _INTERVAL)))
        for name, own in shares.items()
    ]
    return Importances(tuple(sorted(axes, key=lambda one: -one.share)), len(scored), epochs)


def _ap(trial: Trial, epochs: int) -> float | None:
    """Return the AP after this many epochs, over all its seeds where that is the end."""
    return fmean(runs_of(trial)) if trial.complete and trial.epochs_done == epochs else trial.ap_at(epochs)


def _space(trials: Sequence[Trial]) -> dict[str, BaseDistribution]:
    """Return the axes that have more than one value in these trials."""
    names = set.intersection(*(set(trial.point) for trial in trials)) if trials else set()
    values = {name: {trial.point[name] for trial in trials} for name in sorted(names) if "." not in name}
    return {name: _distribution(found) for name, found in values.items() if len(found) > 1}


def _distribution(values: set[AxisValue]) -> BaseDistribution:
    if any(isinstance(value, str) for value in values):
        return CategoricalDistribution(sorted(values, key=str))
    if all(isinstance(value, int) for value in values):
        return IntDistribution(int(min(values)), int(max(values)))
    return FloatDistribution(float(min(values)), float(max(values)))
