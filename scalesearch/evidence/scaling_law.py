"""The scaling law of a family of detectors: AP = A - B F^-c, or A - B N^-a - C S^-b where the rows separate the two.

F are multiply-adds in units of 10^9; N those at a fixed input size, S the size relative to it. Few members are fitted
with a prior over published families (`family_prior.py`); many by least squares, with a bootstrap over members and runs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from scalesearch.evidence.family_prior import Population, likelihood, population, posterior
from scalesearch.evidence.power_law import CEILING, Penalty, Reals, Solution, curve, solve, solve_many

UNIT = 1e9
"""Multiply-adds that F and N count."""
LEAST_COSTS = 3
"""Different costs that a law needs."""
FEW, NARROW = 8, 4.0
"""Below eight members, or where the dearest costs less than four times the cheapest, the prior is used."""
SEPARATE = 0.9
"""N and S are told apart where the squared correlation of their logarithms is below this: variances grow tenfold there."""
DRAWS, POSTERIOR_DRAWS = 2000, 20_000
"""Replicates of the bootstrap, and draws from a posterior, which cost next to nothing."""
LEVELS = (0.8, 0.95)


class ScalingError(ValueError):
    """Rows that no law can be fitted to; the message is one line."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """A detector of a family, trained once or with several seeds."""

    name: str
    macs: float
    """Multiply-adds of one image."""
    size: float | None = None
    """Square root of the pixels of the input."""
    aps: tuple[float, ...]
    """AP points, 0 to 100, of each run."""
    dimensions: Mapping[str, float] = field(default_factory=dict)
    """size (the longer side), width, repeats and head_depth, as far as they are known."""
    kind: str = ""
    """What it is besides its dimensions, such as its backbone and its feature network."""

    @property
    def ap(self) -> float:
        """Mean over the runs."""
        return sum(self.aps) / len(self.aps)


@dataclass(frozen=True)
class IntervalEstimate:
    """A number with its intervals: (low, high) of 80 % and of 95 %."""

    value: float
    of_80: tuple[float, float]
    of_95: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ScalingLaw:
    """A fitted law with draws from its uncertainty. Made by `fit_law`."""

    members: tuple[Member, ...]
    """Cheapest first."""
    size: float | None
    """The fixed size that N is counted at; None where the law is of F alone."""
    solution: Solution
    draws: Reals
    """[draws, parameters]: as `Solution.values`."""
    scatter: Reals
    """[draws]: standard deviation of a member's AP about the law, in AP points."""
    prior: Population | None
    """The population that the fit used."""

    @property
    def parameters(self) -> dict[str, IntervalEstimate]:
        """A, B, c; or A, B, a, C, b: the least-squares values and intervals."""
        names = ("A", "B", "c") if self.size is None else ("A", "B", "a", "C", "b")
        best, draws = self._natural(self.solution.values[None])[0], self._natural(self.draws)
        return {name: estimate(draws[:, i], float(best[i])) for i, name in enumerate(names)}

    @property
    def noise(self) -> IntervalEstimate:
        """Standard deviation of a member about the law, in AP points; its value is the median."""
        return estimate(self.scatter)

    @property
    def ceiling_is_open(self) -> bool:
        """Whether the rows leave the ceiling A without an upper bound below 100 AP."""
        return bool(np.quantile(self.draws[:, 0], 0.975) > CEILING[1] - 1)

    def _natural(self, values: Reals) -> Reals:
        """Return A, B, c from A, log G, log c: G is the gap at the least value of its factor, B at a factor of 1."""
        found = values.copy()
        found[:, 2::2] = np.exp(values[:, 2::2])
        units = [self.members[0].macs / UNIT] if self.size is None else self._least(self.size)
        found[:, 1::2] = np.exp(values[:, 1::2]) * np.array(units) ** found[:, 2::2]
        return found

    def _least(self, size: float) -> list[float]:
        return [float(column.min()) for column in _columns(self.members, size)]

    def predict(
        self, macs: Sequence[float], sizes: Sequence[float] | None = None, seed: int = 0
    ) -> list[IntervalEstimate]:
        """Return the AP of members of these multiply-adds (and sizes): the median, and intervals that hold a member.

        Raises ValueError where the law has the size and `sizes` is None.
        """
        if self.size is None:
            factors = np.array([macs], float) / self.members[0].macs
        elif sizes is None:
            raise ValueError("a law of N and S predicts from both, but got no sizes")
        else:
            columns = np.array([_at_size(np.array(macs), np.array(sizes), self.size), np.array(sizes) / self.size])
            factors = columns / np.array(self._least(self.size))[:, None]
        rng = np.random.default_rng(seed)
        means = curve(self.draws, factors)
        found = np.clip(means + self.scatter[:, None] * rng.standard_normal(means.shape), *CEILING)
        return [estimate(column) for column in found.T]

    def residuals(self) -> list[float]:
        """Return the AP of each member minus the law's, in AP points, in the order of `members`."""
        columns = (
            np.array([[one.macs / UNIT for one in self.members]])
            if self.size is None
            else _columns(self.members, self.size)
        )
        factors = columns / columns.min(1, keepdims=True)
        return [one.ap - float(ap) for one, ap in zip(self.members, curve(self.solution.values, factors), strict=True)]

    def best_sizes(self, macs: float) -> IntervalEstimate:
        """Return the input size that is best at these multiply-adds, within half to twice the known sizes.

        Raises ValueError for a law without the size.
        """
        if self.size is None:
            raise ValueError("the best size is asked of a law of N and S, but this one is of F alone")
        known = [member.size for member in self.members if member.size]
        sizes = np.exp(np.linspace(np.log(min(known) / 2), np.log(max(known) * 2), 200))
        columns = np.array([_at_size(np.full(len(sizes), macs), sizes, self.size), sizes / self.size])
        factors = columns / np.array(self._least(self.size))[:, None]
        best = sizes[curve(self.solution.values, factors).argmax()]
        return estimate(sizes[curve(self.draws, factors).argmax(1)], float(best))

    def extrapolates(self, macs: float) -> float:
        """Return the ratio of these multiply-adds to the largest known ones."""
        return macs / self.members[-1].macs


def estimate(draws: Reals, value: float | None = None) -> IntervalEstimate:
    """Return the median of draws, or `value`, with the intervals of 80 % and 95 % of them."""
    inner, outer = (np.quantile(draws, [(1 - level) / 2, (1 + level) / 2]) for level in LEVELS)
    middle = float(np.median(draws)) if value is None else value
    return IntervalEstimate(middle, (float(inner[0]), float(inner[1])), (float(outer[0]), float(outer[1])))


def _at_size(macs: Reals, sizes: Reals, size: float) -> Reals:
    """Return N: multiply-adds at `size`, in units of 10^9; those of convolutions grow with the pixels."""
    return np.asarray(macs * (size / sizes) ** 2 / UNIT)


def _columns(members: Sequence[Member], size: float) -> Reals:
    """Return N and S / size, [2, members]."""
    macs, sizes = (np.array([getattr(member, key) for member in members], float) for key in ("macs", "size"))
    return np.stack([_at_size(macs, sizes, size), sizes / size])


def separating_size(members: Sequence[Member]) -> float | None:
    """Return the fixed size for a law of N and S, the geometric mean, or None where the rows cannot separate them.

    A law of N and S is chosen only if it also explains the rows better for its parameters (`fit_law`).
    """
    if len(members) < FEW or any(member.size is None for member in members):
        return None
    size = math.exp(sum(math.log(member.size or 1) for member in members) / len(members))
    logs = np.log(_columns(members, size))
    if min(len(set(np.round(row, 6))) for row in logs) < LEAST_COSTS:
        return None
    return size if np.corrcoef(logs)[0, 1] ** 2 < SEPARATE else None


def fit_law(members: Sequence[Member], seed: int = 0, without: str = "") -> ScalingLaw:
    """Fit the law of one family. `without` names a group of published families that the prior leaves out.

    Raises ScalingError for members of fewer than three costs.
    """
    ordered = tuple(sorted(members, key=lambda member: member.macs))
    if (costs := len({member.macs for member in ordered})) < LEAST_COSTS:
        raise ScalingError(
            f"a law needs detectors of at least {LEAST_COSTS} different costs, but got {costs}; add rows"
        )
    rng = np.random.default_rng(seed)
    apart = separating_size(ordered)
    few = len(ordered) < FEW or ordered[-1].macs < NARROW * ordered[0].macs
    fits = [(size, _least_squares(ordered, size)) for size in dict.fromkeys((None, apart))]
    size, (factors, solution) = min(fits, key=lambda fit: _criterion(len(ordered), fit[1][1]))
    if size is None and few:
        return _with_prior(ordered, population(without), rng)
    freedom = len(ordered) - len(solution.values)
    scatter = math.sqrt(solution.squares / freedom) * np.sqrt(freedom / rng.chisquare(freedom, DRAWS))
    draws = _bootstrap(ordered, factors, solution, scatter, rng)
    return ScalingLaw(members=ordered, size=size, solution=solution, draws=draws, scatter=scatter, prior=None)


def _least_squares(members: Sequence[Member], size: float | None) -> tuple[Reals, Solution]:
    """Return the factors [factors, members] and the fit of the law of F, or of N at `size` and S."""
    columns = np.array([[member.macs for member in members]]) if size is None else _columns(members, size)
    factors = columns / columns.min(1, keepdims=True)
    return factors, solve(factors, np.array([member.ap for member in members]))


def _criterion(rows: int, solution: Solution) -> float:
    """Return Akaike's criterion, corrected for few rows (Hurvich and Tsai, Biometrika 76, 1989); lower is better."""
    unknown = len(solution.values) + 1
    if rows <= unknown + 1:
        return math.inf
    error = max(solution.squares / rows, 1e-12)
    return rows * math.log(error) + 2 * unknown + 2 * unknown * (unknown + 1) / (rows - unknown - 1)


def _bootstrap(
    members: Sequence[Member], factors: Reals, solution: Solution, scatter: Reals, rng: np.random.Generator
) -> Reals:
    """Return the law fitted to replicates: the fitted AP of each row plus the residual of a row drawn at random.

    Costs stay as they are, since a ladder is a design; rows drawn with their costs would leave out its ends, which tell
    most. Residuals are smaller than errors, by the parameters fitted; those of a replicate are scaled to its `scatter`.
    """
    fitted = curve(solution.values, factors)
    residuals = np.array([member.ap for member in members]) - fitted
    residuals -= residuals.mean()
    residuals /= max(math.sqrt(float((residuals**2).mean())), 1e-9)
    drawn = rng.choice(residuals, (len(scatter), len(members)))
    return solve_many(factors, fitted + scatter[:, None] * drawn, solution.values)


def _with_prior(members: tuple[Member, ...], prior: Population, rng: np.random.Generator) -> ScalingLaw:
    variance = seed_variance(members)
    macs, ap = (np.array([getattr(member, key) for member in members]) for key in ("macs", "ap"))
    draws, scatter = posterior(likelihood(macs, ap, variance), prior, POSTERIOR_DRAWS, rng, variance)
    # The penalty in units of the residuals, whose scale is the scatter.
    root = np.linalg.inv(np.linalg.cholesky(prior.covariance)) * float(np.median(scatter))
    missing = math.log(max(100 - ap[0], 1.0))
    solution = solve(macs[None] / macs[0], ap, Penalty(prior.mean + np.array([missing, 0.0]), root))
    return ScalingLaw(members=members, size=None, solution=solution, draws=draws, scatter=scatter, prior=prior)


def seed_variance(members: Sequence[Member]) -> float:
    """Return the variance of a member's mean AP from its seeds, pooled; 0 where none has two."""
    freedom = sum(len(member.aps) - 1 for member in members)
    if not freedom:
        return 0.0
    squares = sum((ap - member.ap) ** 2 for member in members for ap in member.aps)
    return squares / freedom * sum(1 / len(member.aps) for member in members) / len(members)
