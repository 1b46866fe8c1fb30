"""Trials assembled from search rows: one row for a single detector, several for a family."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from scalesearch.records.row import Row
from scalesearch.space.space import Point


@dataclass(frozen=True)
class Trial:
    """One trained candidate of the search; `rows` are its members in order."""

    ordinal: int
    point: Point
    proposed_by: str
    rows: tuple[Row, ...]
    repeats: tuple[tuple[Row, ...], ...] = ()
    """Its members trained again, by seed: complete rows with an AP."""

    @cached_property
    def key(self) -> tuple[str, ...]:
        """Spec ids of the members: trials with equal keys are of the same candidate."""
        return tuple(row.spec_id for row in self.rows)

    @cached_property
    def complete(self) -> bool:
        """Whether every member was fully trained and has an AP."""
        return all(row.state == "complete" and row.final.get("ap") is not None for row in self.rows)

    @cached_property
    def failed(self) -> bool:
        """Whether a member's training failed or gave no AP."""
        return any(row.state == "failed" or row.final.get("ap") is None for row in self.rows)

    @property
    def stopped(self) -> bool:
        """Whether it was stopped at a lower rung of the ladder."""
        return not self.failed and not self.complete

    @cached_property
    def epochs_done(self) -> int:
        """Epochs that all members have completed."""
        return min(row.epochs_done for row in self.rows)

    def ap_at(self, epochs: int) -> float | None:
        """Return the members' mean AP after this many epochs; None where a member was not evaluated then."""
        return self.aps.get(epochs)

    @cached_property
    def aps(self) -> dict[int, float]:
        """Mean AP of the members by epochs done, where all members were evaluated."""
        curves = [{epochs: numbers.get("ap") for epochs, numbers in row.curve} for row in self.rows]
        found = {epochs: [ap for curve in curves if (ap := curve.get(epochs)) is not None] for epochs in curves[0]}
        return {epochs: fmean(aps) for epochs, aps in found.items() if len(aps) == len(curves)}

    def value(self, objective: str) -> float:
        """Return the objective of a complete trial: the mean over its members of `ap` or of a cost."""
        if objective not in self._known:
            if objective == "ap":
                self._known[objective] = fmean(row.final["ap"] or 0.0 for row in self.rows)
            else:
                self._need(objective)
                self._known[objective] = fmean(float(row.cost[objective]) for row in self.rows)
        return self._known[objective]

    @cached_property
    def log_macs(self) -> tuple[float, ...]:
        """Logarithm of each member's multiply-adds."""
        return tuple(math.log(max(row.cost["macs"], 1)) for row in self.rows)

    @cached_property
    def _known(self) -> dict[str, float]:
        """Cache of `value`, which a sampler calls for all trials before each candidate."""
        return {}

    def _need(self, objective: str) -> None:
        """Raise ValueError where a row lacks the metric of an objective."""
        if missing := [row for row in self.rows if objective not in row.cost]:
            raise ValueError(f"the row {missing[0].file_name} has no {objective}, which the plan's objectives ask for")

    def values(self, objectives: Sequence[str]) -> list[float]:
        """Return `value` of each objective."""
        return [self.value(name) for name in objectives]


def trials(rows: Iterable[Row], members: int = 1) -> list[Trial]:
    """Assemble search rows and repeats into trials, by ordinal; a trial that lacks members is left out."""
    by_ordinal: dict[int, list[Row]] = {}
    again: dict[int, dict[int, list[Row]]] = {}
    for row in rows:
        if row.kind == "search":
            by_ordinal.setdefault(row.ordinal, []).append(row)
        elif row.kind == "repeat" and row.state == "complete" and row.final.get("ap") is not None:
            again.setdefault(row.ordinal, {}).setdefault(row.seed, []).append(row)
    whole = []
    for ordinal, group in sorted(by_ordinal.items()):
        if len(group) == members:
            group.sort(key=_member)
            seeds = sorted(again.get(ordinal, {}).items())
            repeats = tuple(tuple(sorted(found, key=_member)) for _, found in seeds if len(found) == members)
            whole.append(Trial(ordinal, dict(group[0].point), group[0].proposed_by, tuple(group), repeats))
    return whole


def _member(row: Row) -> int:
    return row.member or 0
