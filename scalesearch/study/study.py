"""What a study is while it runs: its plan, its candidates, where its rows are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import Budget
from scalesearch.plan.plan import Plan
from scalesearch.records.row import Row, TrainingKey
from scalesearch.records.trials import Trial
from scalesearch.space.band import Band
from scalesearch.space.candidates import Unit


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What every row of one run has in common."""

    data: str
    """Fingerprint of the data."""
    splits: Mapping[str, str]
    """What `train`, `train+select`, `select` and `val` are, in words."""
    threads: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]


class Store(Protocol):
    """Where rows are kept: a `StudyFolder`, or memory."""

    @property
    def path(self) -> Path:
        """Under which trainings have their folders."""

    def rows(self) -> tuple[Row, ...]:
        """Every row in order."""

    def trials(self, members: int) -> list[Trial]:
        """The whole search trials by ordinal."""

    def find(self, row: Row) -> Row | None:
        """The row of this row's name, where it is of an equal training."""

    def known(self, key: TrainingKey) -> Row | None:
        """A complete row of an equal training, whatever its kind."""

    def write(self, row: Row) -> object:
        """Keeps the row, in place of one of the same name."""


class Ledger(Protocol):
    """Where the trials are mirrored for people and dashboards: `mirror.ledger` has the one of Optuna."""

    def keep(self, trials: Sequence[Trial], *, over: bool = False) -> None:
        """Writes the trials so far; `over` where the search has come to its end."""


Confirm = Callable[[DetectorSpec, Budget], str]
"""What a detector, built and measured, misses of its band; empty where it holds."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """A plan with its candidates, its folder and the provenance of its rows."""

    plan: Plan
    unit: Unit
    band: Band
    folder: Store
    provenance: Provenance
    ledger: Ledger | None = None
    """None for a study that nobody looks at, such as a rehearsed one."""
    confirm: Confirm | None = None
    """Asked before a candidate's first training, where the band bounds what can only be measured."""

    def trials(self) -> list[Trial]:
        """The whole search trials so far, by ordinal."""
        return self.folder.trials(len(self.unit.budgets))
