"""`OptunaLedger`: the trials of a study in an Optuna storage, for people and `optuna-dashboard`.

It is written from the rows and can always be rebuilt from them. Nothing reads it back, and no failure of it ends a
running study. It lies in the study's folder, or in any Optuna storage beside other studies.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from scalesearch.mirror.frozen_trials import LABELS, dashboard_distribution, frozen_trial
from scalesearch.mirror.storage import LedgerError, TrialStorage, identity, line, trial_storage
from scalesearch.records.trials import Trial
from scalesearch.space.space import Choices
from scalesearch.study.samplers import DIRECTIONS

_OWNER = "folder_id"
"""Attribute of a study in a shared storage: the identity of the folder that it was written from."""
_PATIENCE = 60.0
"""Seconds before a storage that failed is tried again."""

logger = logging.getLogger(__name__)


class OptunaLedger:
    """One Optuna study that mirrors the trials. Raises LedgerError where the storage cannot be opened at the start."""

    def __init__(
        self,
        folder: Path,
        name: str,
        objectives: Sequence[str],
        axes: Mapping[str, Choices],
        storage: str | None = None,
    ) -> None:
        self._name, self._objectives = name, list(objectives)
        self._space = {axis: dashboard_distribution(choices) for axis, choices in axes.items()}
        self._storage: TrialStorage = trial_storage(storage, folder)
        self._identity = "" if self._storage.own else identity(folder)
        self._study: optuna.Study | None = None
        self._written: list[FrozenTrial] = []
        self._known: dict[int, tuple[tuple[Trial, bool], FrozenTrial]] = {}
        self._tried: float | None = None
        self._open()

    def keep(self, trials: Sequence[Trial], *, over: bool = False) -> None:
        """Make the ledger hold exactly these trials, up to the first missing ordinal, so that ordinal and number agree.

        Missing trials are added; a wrong one makes the ledger be rewritten. A trial stopped at a lower rung is recorded
        as running until the search is `over`, since it may still be promoted.
        """
        if self._tried is not None and not over and time.monotonic() - self._tried < _PATIENCE:
            return
        try:
            self._keep([self._frozen(trial, over) for i, trial in enumerate(trials) if trial.ordinal == i])
            self._tried = None
        except Exception as error:  # noqa: BLE001  a storage may raise anything, and the study does not need it
            if self._tried is None or over:
                logger.warning(
                    f"the Optuna storage {self._storage.shown} could not be updated ({self._storage.clean(line(error))}); the study's "
                    "rows are complete, and a later update writes the trials from them"
                )
            self._tried, self._study = time.monotonic(), None

    def _frozen(self, trial: Trial, over: bool) -> FrozenTrial:
        """`frozen_trial`, cached: of a thousand trials few are new since the last call."""
        before = self._known.get(trial.ordinal)
        if before is None or before[0] != (trial, over):
            self._known[trial.ordinal] = (trial, over), frozen_trial(trial, self._objectives, self._space, over)
        return self._known[trial.ordinal][1]

    def _keep(self, wanted: list[FrozenTrial]) -> None:
        study = self._study or self._open()
        pairs = zip(self._written, wanted, strict=False)
        if len(self._written) > len(wanted) or not all(_leads(there, trial) for there, trial in pairs):
            study = self._rewritten()
        for number, trial in enumerate(wanted):
            if number == len(self._written):
                study.add_trial(trial)
                self._written.append(trial)
            elif not _same(self._written[number], trial):
                _finish(study, number, trial)
            self._written[number] = trial

    def _open(self) -> optuna.Study:
        """Load the study; an unreadable file in the study's own folder is removed and written anew."""
        if not self._storage.own:
            with self._storage.explained():
                return self._load()
        try:
            return self._load()
        except Exception:  # noqa: BLE001  Optuna may raise anything on a torn file: the rows are the truth
            self._storage.remove()
            return self._load()

    def _load(self) -> optuna.Study:
        study = self._made(self._storage.open())
        if not self._storage.own:
            owner = study.user_attrs.get(_OWNER)
            if owner not in (None, self._identity) or (owner is None and study.get_trials(deepcopy=False)):
                raise LedgerError(
                    f"{self._storage.shown} has a study {self._name!r} that was not written from this folder; give the "
                    f"plan another name, or: optuna delete-study --study-name {self._name} --storage ..."
                )
            study.set_user_attr(_OWNER, self._identity)
        self._written = list(study.get_trials(deepcopy=False))
        self._study = study
        return study

    def _made(self, storage: BaseStorage) -> optuna.Study:
        try:
            study = optuna.load_study(study_name=self._name, storage=storage)
        except KeyError:
            directions = [DIRECTIONS[name] for name in self._objectives]
            study = optuna.create_study(study_name=self._name, storage=storage, directions=directions)
        names = [LABELS.get(name, name) for name in self._objectives]
        with warnings.catch_warnings():
            # Experimental since Optuna 3.2; it names AP and MACs on a dashboard.
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            if study.metric_names != names:
                study.set_metric_names(names)
        return study

    def _rewritten(self) -> optuna.Study:
        """Replace the study by an empty one."""
        if self._storage.own:
            self._storage.remove()
        else:
            optuna.delete_study(study_name=self._name, storage=self._storage.open())
        return self._load()


def _same(one: FrozenTrial, other: FrozenTrial) -> bool:
    """Whether the two are equal in all that the ledger records."""
    if one is other:
        return True
    parts = [(t.state, t.values, t.params, t.distributions, t.user_attrs) for t in (one, other)]
    return parts[0] == parts[1]


def _leads(written: FrozenTrial, wanted: FrozenTrial) -> bool:
    """Whether `written` is equal to `wanted`, or is the same trial still running: finished trials do not change."""
    if _same(written, wanted):
        return True
    ordinals = [trial.user_attrs.get("ordinal") for trial in (written, wanted)]
    return written.state == TrialState.RUNNING and written.params == wanted.params and ordinals[0] == ordinals[1]


def _finish(study: optuna.Study, number: int, trial: FrozenTrial) -> None:
    """Update a running trial to its present state."""
    running = optuna.trial.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)
    for name, value in trial.user_attrs.items():
        running.set_user_attr(name, value)
    if trial.state != TrialState.RUNNING:
        study.tell(number, values=trial.values, state=trial.state)
