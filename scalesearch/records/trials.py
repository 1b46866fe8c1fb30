"""Search rows put together again as trials: one row for a detector, several for a family."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean

from scalesearch.records.pareto import non_dominated
from scalesearch.records.row import Row
from scalesearch.space.space import Point


@dataclass(frozen=True)
class Trial:
    """One candidate of the search; `rows` are its members in order."""

    ordinal: int
    point: Point
    proposed_by: str
    rows: tuple[Row, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two trials the same: the spec ids of their members."""
        return tuple(row.spec_id for row in self.rows)

    @property
    def complete(self) -> bool:
        """Whether every member was trained to its end and has an AP."""
        return all(row.state == "complete" and row.final.get("ap") is not None for row in self.rows)

    @property
    def failed(self) -> bool:
        """Whether a member's training failed, or came to no AP."""
        return any(row.state == "failed" or row.final.get("ap") is None for row in self.rows)

    @property
    def stopped(self) -> bool:
        """Whether it stands at a lower rung of the ladder."""
        return not self.failed and not self.complete

    @property
    def epochs_done(self) -> int:
        """Epochs that every member has behind it."""
        return min(row.epochs_done for row in self.rows)

    def ap_at(self, epochs: int) -> float | None:
        """Mean AP of the members after this many epochs; None where one was not evaluated then."""
        found = [dict(row.curve).get(epochs, {}).get("ap") for row in self.rows]
        known = [ap for ap in found if ap is not None]
        return fmean(known) if len(known) == len(found) else None

    def value(self, objective: str) -> float:
        """The objective of a complete trial: the mean over its members of `ap`, or of a cost."""
        if objective == "ap":
            return fmean(row.final["ap"] or 0.0 for row in self.rows)
        return fmean(float(row.cost[objective]) for row in self.rows)

    def values(self, objectives: Sequence[str]) -> list[float]:
        """`value` of each objective."""
        return [self.value(name) for name in objectives]


def trials(rows: Iterable[Row], members: int = 1) -> list[Trial]:
    """The whole trials among search rows, by ordinal; one that lacks members is left out."""
    by_ordinal: dict[int, list[Row]] = {}
    for row in rows:
        if row.kind == "search":
            by_ordinal.setdefault(row.ordinal, []).append(row)
    whole = []
    for ordinal, group in sorted(by_ordinal.items()):
        if len(group) == members:
            group.sort(key=lambda row: row.member or 0)
            whole.append(Trial(ordinal, dict(group[0].point), group[0].proposed_by, tuple(group)))
    return whole


def best_trials(found: Sequence[Trial], objectives: Sequence[str]) -> list[Trial]:
    """The complete trials that no other is better than in every objective, by AP, best first."""
    complete = [trial for trial in found if trial.complete]
    front = non_dominated(complete, lambda trial: trial.values(objectives), objectives)
    return sorted(front, key=lambda trial: (-trial.value("ap"), trial.ordinal))
