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
        self._written: list[int] = []

    def keep(self, trials: Sequence[Trial]) -> None:
        """Make the ledger tell of exactly these trials; what is missing is added, else it is rewritten."""
        study = self._study or self._open()
        ordinals = [trial.ordinal for trial in trials]
        if self._written != ordinals[: len(self._written)]:
            self._path.unlink()
            study = self._open()
        study.add_trials([self._told(trial) for trial in trials[len(self._written) :]])
        self._written = ordinals

    def _open(self) -> optuna.Study:
        # Only the driver writes, and it holds the study's lock: a lock file left here is a dead process's.
        self._path.with_name(FILE + ".lock").unlink(missing_ok=True)
        try:
            study = self._load()
        except Exception:  # noqa: BLE001  whatever a torn journal makes Optuna raise: the rows are the truth
            self._path.unlink(missing_ok=True)
            study = self._load()
        self._study = study
        self._written = [trial.user_attrs.get("ordinal", -1) for trial in study.get_trials(deepcopy=False)]
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

    def _told(self, trial: Trial) -> FrozenTrial:
        attrs: dict[str, object] = {"ordinal": trial.ordinal, "proposed_by": trial.proposed_by}
        for row in trial.rows:
            prefix = "" if row.member is None else f"member {row.member} "
            attrs[f"{prefix}spec"] = row.spec_id
            attrs |= {f"{prefix}{name}": value for name, value in row.cost.items() if name != "activations"}
            attrs |= {f"{prefix}{name}": row.final.get(name) for name in ("ap", "ap50")}
            if row.reason:
                attrs[f"{prefix}reason"] = row.reason
        return optuna.trial.create_trial(
            state=TrialState.COMPLETE if trial.complete else TrialState.FAIL,
            params=dict(trial.point),
            distributions=self._space,
            values=trial.values(self._objectives) if trial.complete else None,
            user_attrs=attrs,
        )


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
