"""The Optuna ledger: the trials of a study as `optuna-dashboard` and people read them.

It is written from the rows and can always be rebuilt from them; nothing reads it back.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from scalesearch.arch.space import Choices
from scalesearch.records.trials import Trial
from scalesearch.search.samplers import DIRECTIONS

FILE = "optuna.journal"
_METRICS = {"ap": "AP", "macs": "MACs", "params": "parameters"}
"""How a dashboard calls them; the others by their own names."""


class Ledger:
    """One Optuna study in a journal file of the study's folder, kept in step with the trials."""

    def __init__(self, folder: Path, name: str, objectives: Sequence[str], axes: Mapping[str, Choices]) -> None:
        self._path = folder / FILE
        self._name, self._objectives = name, list(objectives)
        self._space = {axis: _distribution(axis, choices) for axis, choices in axes.items()}
        self._study: optuna.Study | None = None
        self._written: list[TrialState] = []

    def keep(self, trials: Sequence[Trial], *, over: bool = False) -> None:
        """Make the ledger tell of these trials, up to the first ordinal that is missing.

        One that stands at a lower rung is RUNNING, since it may yet go on, until the search is `over`: then it is
        PRUNED. What the ledger has otherwise is thrown away, and all is written anew.
        """
        study = self._study or self._open()
        told = [self._told(trial, over) for i, trial in enumerate(trials) if trial.ordinal == i]
        if not self._agrees(told):
            self._path.unlink()
            study = self._open()
        for number, trial in enumerate(told):
            if number == len(self._written):
                study.add_trial(trial)
                self._written.append(trial.state)
            elif self._written[number] is TrialState.RUNNING:
                self._go_on(study, number, trial)

    def _agrees(self, told: Sequence[FrozenTrial]) -> bool:
        """Whether all that is written is what is to be told, or may become it."""
        if len(self._written) > len(told):
            return False
        pairs = zip(self._written, told, strict=False)
        return all(was in (TrialState.RUNNING, trial.state) for was, trial in pairs)

    def _go_on(self, study: optuna.Study, number: int, told: FrozenTrial) -> None:
        storage, id_ = study._storage, study.get_trials(deepcopy=False)[number]._trial_id
        known = storage.get_trial_user_attrs(id_)
        for name, value in told.user_attrs.items():
            if known.get(name) != value:
                storage.set_trial_user_attr(id_, name, value)
        if told.state is not TrialState.RUNNING:
            storage.set_trial_state_values(id_, told.state, told.values if told.state is TrialState.COMPLETE else None)
            self._written[number] = told.state

    def _open(self) -> optuna.Study:
        # Only the driver writes, and it holds the study's lock: a lock file left here is a dead process's.
        self._path.with_name(FILE + ".lock").unlink(missing_ok=True)
        try:
            study = self._load()
        except Exception:  # noqa: BLE001  whatever a torn journal makes Optuna raise: the rows are the truth
            self._path.unlink(missing_ok=True)
            study = self._load()
        self._study = study
        self._written = [trial.state for trial in study.get_trials(deepcopy=False)]
        return study

    def _load(self) -> optuna.Study:
        backend = JournalFileBackend(str(self._path), lock_obj=JournalFileOpenLock(str(self._path)))
        study = optuna.create_study(
            study_name=self._name,
            storage=optuna.storages.JournalStorage(backend),
            directions=[DIRECTIONS[name] for name in self._objectives],
            load_if_exists=True,
        )
        with warnings.catch_warnings():
            # Experimental since Optuna 3.2, and what makes a dashboard say AP and MACs.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.set_metric_names([_METRICS.get(name, name) for name in self._objectives])
        return study

    def _told(self, trial: Trial, over: bool) -> FrozenTrial:
        attrs: dict[str, object] = {"ordinal": trial.ordinal, "proposed_by": trial.proposed_by}
        for row in trial.rows:
            prefix = "" if row.member is None else f"member {row.member} "
            attrs[f"{prefix}spec"] = row.spec_id
            attrs |= {f"{prefix}{name}": value for name, value in row.cost.items() if name != "activations"}
            attrs |= {f"{prefix}{name}": row.final.get(name) for name in ("ap", "ap50")}
            attrs[f"{prefix}epochs"] = row.epochs_done
            if row.reason:
                attrs[f"{prefix}reason"] = row.reason
        return optuna.trial.create_trial(
            state=_state(trial, over),
            params=dict(trial.point),
            distributions=self._space,
            values=trial.values(self._objectives) if trial.complete else None,
            user_attrs=attrs,
        )


def _state(trial: Trial, over: bool) -> TrialState:
    if trial.stopped:
        return TrialState.PRUNED if over else TrialState.RUNNING
    return TrialState.COMPLETE if trial.complete else TrialState.FAIL


def _distribution(name: str, axis: Choices) -> BaseDistribution:
    """What a dashboard draws best: a stepped range where the values are one, else the values themselves."""
    if axis.named:
        return CategoricalDistribution(axis.values)
    values = sorted(float(value) for value in axis.values)
    gaps = {round(b - a, 9) for a, b in pairwise(values)}
    if len(gaps) != 1:
        return CategoricalDistribution(tuple(sorted(axis.values)))
    if all(isinstance(value, int) for value in axis.values):
        return IntDistribution(int(values[0]), int(values[-1]), step=int(gaps.pop()))
    return FloatDistribution(values[0], values[-1], step=gaps.pop())
