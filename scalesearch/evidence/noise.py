"""Noise: the spread of a metric over seeds, beside its spread over candidates, and the differences that it hides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.special import chdtri, fdtri, stdtrit

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
class NoiseFloor:
    """The standard deviation of a single run about the mean of its seeds, pooled over what was trained repeatedly."""

    sd: float
    freedom: int
    """Degrees of freedom: runs minus the items that they are of."""
    items: int
    """Detectors trained with two seeds or more."""

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the standard deviation, by chi-square."""
        low, high = (float(chdtri(self.freedom, tail)) for tail in (0.025, 0.975))
        return self.sd * math.sqrt(self.freedom / low), self.sd * math.sqrt(self.freedom / high)

    def significant(self, runs: int, others: int | None = None) -> float:
        """Return the least observed difference of two means over `runs` and `others` runs that is significant at 95 %."""
        return _t(self.freedom) * self.sd * math.sqrt(1 / runs + 1 / (others or runs))

    def tellable(self, runs: int) -> float:
        """Return the least true difference of two means over `runs` runs that is found significant four times in five."""
        return (_t(self.freedom) + float(stdtrit(self.freedom, 0.8))) * self.sd * math.sqrt(2 / runs)

    def runs_for(self, difference: float) -> int | None:
        """Return how many seeds of each tell a true difference; None where there is no difference."""
        return max(1, math.ceil((self.tellable(1) / difference) ** 2 - 1e-9)) if difference > 0 else None


def noise_floor(items: Iterable[Sequence[float]]) -> NoiseFloor | None:
    """Return the noise pooled over items, each with the values of its seeds; None where no item has two."""
    repeated = [values for values in items if len(values) > 1]
    freedom = sum(len(values) - 1 for values in repeated)
    if not freedom:
        return None
    squares = sum((value - fmean(values)) ** 2 for values in repeated for value in values)
    return NoiseFloor(math.sqrt(squares / freedom), freedom, len(repeated))


def unsteady(items: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
    """Return the items whose seeds differ too much to be pooled with the others, the worst first.

    Cochran's C test (1941) at 1 %: the largest variance as a share of all, again without it until none is too large. For items
    of equally many values, or nearly so.
    """
    rest = {name: stdev(values) ** 2 for name, values in items.items() if len(values) > 1}
    found = []
    while len(rest) > 2 and (total := sum(rest.values())) > 0:
        runs = fmean(len(items[name]) for name in rest) - 1
        # The upper 0.01 / k point of F, of one variance against the mean of the k - 1 others.
        f = float(fdtri(runs, (len(rest) - 1) * runs, 1 - 0.01 / len(rest)))
        worst = max(rest, key=lambda name: rest[name])
        if rest[worst] / total <= 1 / (1 + (len(rest) - 1) / f):
            break
        found.append(worst)
        del rest[worst]
    return tuple(found)


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


def floor_of(groups: Iterable[Group]) -> NoiseFloor | None:
    """Return the noise of AP pooled over the groups; None where no detector has two seeds."""
    return noise_floor(spread.values for group in groups if (spread := group.spread()))


def seed_sd(groups: Iterable[Group]) -> float | None:
    """Return the pooled standard deviation of AP over seeds; None where no detector has two seeds."""
    floor = floor_of(groups)
    return floor.sd if floor else None


def not_distinguished(best: Group, others: Iterable[Group]) -> list[Group] | None:
    """Return those of `others` whose mean AP does not differ significantly from that of `best`.

    The test is Student's t at 95 % with the standard deviation pooled over seeds. None where no detector has two seeds.
    """
    others = list(others)
    floor, first = floor_of([best, *others]), best.spread()
    if floor is None or first is None:
        return None
    return [
        group
        for group in others
        if (spread := group.spread())
        and abs(first.mean - spread.mean) <= floor.significant(len(first.values), len(spread.values))
    ]
