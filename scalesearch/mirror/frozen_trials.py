"""Trials converted to Optuna's FrozenTrial: state, values, parameters and attributes for a dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from scalesearch.cost.budget import human
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial
from scalesearch.space.space import Choices

LABELS = {"ap": "AP", "macs": "MACs", "params": "parameters"}
"""Names of objectives and costs on a dashboard; the others keep their own."""


def frozen_trial(
    trial: Trial, objectives: Sequence[str], space: Mapping[str, BaseDistribution], over: bool
) -> FrozenTrial:
    """Return the trial as Optuna's: COMPLETE with values, FAIL with its reason, or PRUNED with its APs as attributes.

    A trial stopped at a lower rung is RUNNING until the search is `over`, then PRUNED. There are no intermediate
    values: those of a pruned trial make Optuna's multi-objective TPE raise at every ask on this storage.
    """
    state = _state(trial, over)
    done = datetime.now()  # Optuna's own times are local and naive
    found = optuna.trial.create_trial(
        state=state,
        params=dict(trial.point),
        distributions={name: space[name] for name in trial.point},
        values=trial.values(objectives) if state == TrialState.COMPLETE else None,
        user_attrs=_attributes(trial),
    )
    found.datetime_start = done - timedelta(seconds=sum(row.seconds for row in trial.rows))
    found.datetime_complete = None if state == TrialState.RUNNING else done
    return found


def _state(trial: Trial, over: bool) -> TrialState:
    if trial.stopped:
        return TrialState.PRUNED if over else TrialState.RUNNING
    return TrialState.COMPLETE if trial.complete else TrialState.FAIL


def _attributes(trial: Trial) -> dict[str, object]:
    """Return the user attributes. A dashboard sorts and plots an attribute only if all its values are numbers."""
    attributes: dict[str, object] = {"ordinal": trial.ordinal, "proposed_by": trial.proposed_by}
    for row in trial.rows:
        prefix = "" if row.member is None else f"member {row.member} "
        scores = {"AP": row.final.get("ap"), "AP50": row.final.get("ap50")}
        if row.state == "stopped":
            scores |= {f"AP at epoch {epoch}": values.get("ap") for epoch, values in row.curve}
        found: dict[str, object] = {"detector": _words(row), "spec": row.spec_id}
        found |= {name: round(score, 4) for name, score in scores.items() if score is not None}
        found |= {LABELS.get(name, name): value for name, value in row.cost.items() if name != "activations"}
        found |= {"epochs": row.epochs_done, "seconds": round(row.seconds, 1)}
        found |= {"reason": row.reason} if row.reason else {}
        attributes |= {f"{prefix}{name}": value for name, value in found.items()}
    return attributes


def _words(row: Row) -> str:
    height, width = row.spec.size
    return f"{human(row.cost['macs'])} MACs, {human(row.cost['params'])} parameters at {height}x{width}"


def dashboard_distribution(axis: Choices) -> BaseDistribution:
    """Return a stepped range if the axis is one, which a dashboard draws best, else a categorical distribution."""
    if axis.named:
        return CategoricalDistribution(axis.values)
    values = sorted(float(value) for value in axis.values)
    gaps = {round(b - a, 9) for a, b in pairwise(values)}
    if len(gaps) != 1:
        return CategoricalDistribution(tuple(sorted(axis.values)))
    if all(isinstance(value, int) for value in axis.values):
        return IntDistribution(int(values[0]), int(values[-1]), step=int(gaps.pop()))
    return FloatDistribution(values[0], values[-1], step=gaps.pop())
