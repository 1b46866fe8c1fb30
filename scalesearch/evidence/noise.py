"""Noise: the spread of a metric over seeds, beside its spread over candidates."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import stdtrit

from scalesearch.records.row import Row


def _t(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t: half of a 95 % interval in standard errors."""
    return float(stdtrit(freedom, 0.975))


@dataclass(frozen=True)
class Spread:
    """Several values of one quantity."""

    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError("a spread needs at least one value")

    @property
    def mean(self) -> float:
        """Arithmetic mean."""
        return fmean(self.values)

    @property
    def sd(self) -> float | None:
        """Sample standard deviation (denominator n - 1); None for a single value."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean by Student's t; None for a single value."""
        if self.sd is None:
            return None
        n = len(self.values)
        half = _t(n - 1) * self.sd / math.sqrt(n)
        return self.mean - half, self.mean + half

    @property
    def range(self) -> float:
        """Largest minus smallest."""
        return max(self.values) - min(self.values)

    def __str__(self) -> str:
        if self.sd is None:
            return f"{self.mean:.3f} (one seed)"
        return f"{self.mean:.3f} ± {self.sd:.3f}"


@dataclass(frozen=True)
class Group:
    """One detector trained by one recipe on one data set with several seeds; `rows` are ordered by seed."""

    rows: tuple[Row, ...]

    @property
    def first(self) -> Row:
        """The row of the lowest seed; spec, cost and splits are the same in all rows."""
        return self.rows[0]

    def spread(self, number: str = "ap") -> Spread | None:
        """Return one of the twelve COCO metrics over the seeds; None where no seed has it."""
        values = tuple(value for row in self.rows if (value := row.final.get(number)) is not None)
        return Spread(values) if values else None


def by_seed(rows: Iterable[Row], kinds: Sequence[str]) -> list[Group]:
    """Group the complete rows of the given kinds over seeds, best mean AP first."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if row.kind in kinds and row.state == "complete":
            groups.setdefault((row.kind, row.name, row.spec_id, row.recipe_id, row.epochs_planned), []).append(row)
    found = [Group(tuple(sorted(group, key=lambda row: row.seed))) for group in groups.values()]

    def mean(group: Group) -> float:
        spread = group.spread()
        return spread.mean if spread else -1.0

    return sorted(found, key=lambda group: (-mean(group), group.first.spec_id))


def seed_sd(groups: Iterable[Group]) -> float | None:
    """Return the pooled standard deviation of AP over seeds; None where no detector has two seeds."""
    pooled = _pooled(groups)
    return pooled[0] if pooled else None


def not_distinguished(best: Group, others: Iterable[Group]) -> list[Group] | None:
    """Return those of `others` whose mean AP does not differ significantly from that of `best`.

    The test is Student's t at 95 % with the standard deviation pooled over seeds. None where no detector has two seeds.
    """
    others = list(others)
    pooled, first = _pooled([best, *others]), best.spread()
    if pooled is None or first is None:
        return None
    sd, freedom = pooled
    found = []
    for group in others:
        if spread := group.spread():
            error = sd * math.sqrt(1 / len(first.values) + 1 / len(spread.values))
            if abs(first.mean - spread.mean) <= _t(freedom) * error:
                found.append(group)
    return found


def _pooled(groups: Iterable[Group]) -> tuple[float, int] | None:
    """Return the pooled standard deviation over seeds and its degrees of freedom; None without a second seed."""
    squares, freedom = 0.0, 0
    for group in groups:
        spread = group.spread()
        if spread and spread.sd is not None:
            squares += spread.sd**2 * (len(spread.values) - 1)
            freedom += len(spread.values) - 1
    return (math.sqrt(squares / freedom), freedom) if freedom else None
