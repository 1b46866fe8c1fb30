"""`Study`: a running study with its plan, its candidates, the store of its rows and its ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scalesearch.plan.plan import Plan
from scalesearch.records.row import Row, TrainingKey
from scalesearch.records.trials import Trial
from scalesearch.space.band import Band
from scalesearch.space.candidates import Unit


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Fields that all rows of one run have in common."""

    data: str
    """Fingerprint of the data."""
    splits: Mapping[str, str]
    """Descriptions of the splits `train`, `train+select`, `select` and `val`."""
    threads: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]


class Store(Protocol):
    """Keeps the rows of a study: a `StudyFolder`, or memory."""

    @property
    def path(self) -> Path:
        """Folder that contains the trainings' folders."""

    def rows(self) -> tuple[Row, ...]:
        """Return all rows in order."""

    def trials(self, members: int) -> list[Trial]:
        """Return the search trials that have all their members, by ordinal."""

    def find(self, row: Row) -> Row | None:
        """Return the stored row with this row's name if it is of an equal training, else None."""

    def known(self, key: TrainingKey) -> Row | None:
        """Return a complete row of an equal training, of any kind, or None."""

    def write(self, row: Row) -> object:
        """Keep the row; it replaces a row of the same name."""

    def send(self, row: Row) -> None:
        """Note that a training begins; `row` has no results yet. It holds until the training's row is written."""

    def sent(self) -> list[Row]:
        """Return the rows noted by `send`, of trainings that an interrupted run left without an end."""


class Ledger(Protocol):
    """Mirror of the trials for people and dashboards; `mirror.ledger` implements it with Optuna."""

    def keep(self, trials: Sequence[Trial], *, over: bool = False) -> None:
        """Write the trials so far; `over` once the search has ended."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A plan with its candidates, the store of its rows and their provenance."""

    plan: Plan
    unit: Unit
    band: Band
    folder: Store
    provenance: Provenance
    ledger: Ledger | None = None
    """None for a study without a mirror, such as a rehearsal."""
    confirm: bool = False
    """Whether a candidate's latency is measured before its first training, where its band bounds it."""

    def trials(self) -> list[Trial]:
        """Return the search trials so far that have all their members, by ordinal."""
        return self.folder.trials(len(self.unit.budgets))
