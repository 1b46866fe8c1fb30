"""What published families of detectors tell of a new one: the population of (gap, exponent), and a posterior by it.

Each family follows AP = A - gap (F / F1)^-c with F1 the cost of its cheapest member; the gap is taken as a share of the
AP that is missing there, 100 - AP1. (log share, log c) are normal over families, the log of the scatter about the law
as well. The rows are in families.csv, with their sources; families of one `group` share nets or authors, and count as one.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from scalesearch.evidence.power_law import Reals

_EXPONENTS = np.exp(np.linspace(np.log(0.03), np.log(3.0), 40))
_SCATTER = np.exp(np.linspace(np.log(0.15), np.log(8.0), 12))
"""AP points."""
_RISES = 80
"""Values of the rise from the cheapest to the dearest known member."""
_FAR = 10.0
"""Points of a family's grid this far below its best, in log likelihood, are left out."""
_ITERATIONS, _CONVERGED = 300, 2e-4


@dataclass(frozen=True)
class PublishedFamily:
    """One family of families.csv."""

    group: str
    name: str
    macs: tuple[float, ...]
    """Multiply-adds of each member, cheapest first."""
    sizes: tuple[int, ...]
    ap: tuple[float, ...]
    """AP points on COCO val2017."""
    source: str


@dataclass(frozen=True)
class Population:
    """Distribution over families of (log share, log c) and of the log of the scatter in AP points."""

    mean: Reals
    """[2]."""
    covariance: Reals
    """[2, 2]."""
    scatter: tuple[float, float]
    """Mean and standard deviation of log scatter."""
    families: int
    groups: int


@dataclass(frozen=True)
class Grid:
    """Likelihood of one family over (rise, exponent, scatter), the level integrated out; points [points]."""

    log_share: Reals
    log_exponent: Reals
    scatter: Reals
    rise: Reals
    """AP points from the cheapest to the dearest member."""
    log_likelihood: Reals
    """With the volume of the point in (log share, log c, log scatter)."""
    steps: tuple[float, float, float]
    """Between neighbouring values of log c, log scatter and rise."""
    factor: Reals
    """[rows]: multiply-adds relative to the cheapest."""
    ap: Reals
    """[rows]."""

    @property
    def place(self) -> Reals:
        """(log share, log c) of each point, [2, points]."""
        return np.stack([self.log_share, self.log_exponent])


@cache
def published_families() -> tuple[PublishedFamily, ...]:
    """Read families.csv."""
    text = (files("scalesearch.evidence") / "families.csv").read_text(encoding="utf-8")
    by_name: dict[str, list[dict[str, str]]] = {}
    for line in csv.DictReader(text.splitlines()):
        by_name.setdefault(line["family"], []).append(line)
    found = []
    for name, lines in by_name.items():
        lines.sort(key=lambda line: float(line["macs"]))
        macs, ap = (tuple(float(line[key]) for line in lines) for key in ("macs", "ap"))
        sizes = tuple(int(line["size"]) for line in lines)
        found.append(PublishedFamily(lines[0]["group"], name, macs, sizes, ap, lines[0]["source"]))
    return tuple(found)


def likelihood(macs: Sequence[float] | Reals, ap: Sequence[float] | Reals, seed_variance: float = 0.0) -> Grid:
    """Return the likelihood of a family's members, cheapest first, of at least two costs. AP is in points.

    `seed_variance` is the known variance of each AP from seeds; it is added to that of the scatter.
    """
    factor, score = np.asarray(macs, float) / macs[0], np.asarray(ap, float)
    log = np.log(factor)
    slope = float(np.polyfit(log, score, 1)[0])
    spread = float(np.std(score - score.mean() - slope * (log - log.mean())))
    middle, half = slope * log[-1], max(5.0, 5 * spread)
    rises = np.linspace(max(0.02, middle - half), max(0.5, middle) + half, _RISES)
    shape = 1 - factor[:, None] ** -_EXPONENTS  # [rows, exponents], 0 for the cheapest
    errors = score[:, None, None] - rises[:, None] * (shape / shape[-1])[:, None, :]
    squares = ((errors - errors.mean(0)) ** 2).sum(0)
    gap = rises[:, None] / shape[-1]
    share = gap / max(100 - score[0], 1.0)
    scatter = np.sqrt(_SCATTER**2 + seed_variance)[:, None, None]
    log_likelihood = -(len(score) - 1) * np.log(scatter) - squares / (2 * scatter**2) - np.log(rises)[:, None]
    log_likelihood = np.where(share < 1, log_likelihood, -np.inf)  # A is at most 100
    near = log_likelihood > log_likelihood.max() - _FAR

    def kept(values: Reals) -> Reals:
        return np.asarray(np.broadcast_to(values, near.shape)[near])

    return Grid(
        log_share=kept(np.log(share)),
        log_exponent=kept(np.log(_EXPONENTS)),
        scatter=kept(_SCATTER[:, None, None]),
        rise=kept(rises[:, None]),
        log_likelihood=log_likelihood[near],
        steps=(_log_step(_EXPONENTS), _log_step(_SCATTER), float(rises[1] - rises[0])),
        factor=factor,
        ap=score,
    )


def _log_step(values: Reals) -> float:
    return float(np.log(values[1] / values[0]))


@cache
def _published_grids() -> tuple[Grid, ...]:
    return tuple(likelihood(family.macs, family.ap) for family in published_families())


@cache
def population(without: str = "") -> Population:
    """Return the population of the published families, at the mode by expectation-maximisation.

    `without` names a group that is left out, as when one of its families is judged.
    """
    families = published_families()
    chosen = [
        (family, grid) for family, grid in zip(families, _published_grids(), strict=True) if family.group != without
    ]
    names = [family.group for family, _ in chosen]
    weights = np.array([1 / names.count(name) for name in names])
    found = Population(np.log([0.3, 0.5]), np.diag([0.3, 0.3]), (np.log(0.4), 0.5), len(chosen), len(set(names)))
    for _ in range(_ITERATIONS):
        before, found = found, _improved(found, [grid for _, grid in chosen], weights / weights.sum())
        moved = [found.mean - before.mean, np.ravel(found.covariance - before.covariance)]
        if max(np.abs(np.concatenate([*moved, np.subtract(found.scatter, before.scatter)]))) < _CONVERGED:
            break
    return found


def _improved(now: Population, grids: Iterable[Grid], weights: Reals) -> Population:
    """Return the population with the moments that the families have under `now`."""
    moments = []
    for grid in grids:
        share = _normalised(grid.log_likelihood + _normal(grid, now))
        point = np.vstack([grid.place, np.log(grid.scatter)])
        moments.append(np.column_stack([point @ share, (point * share) @ point.T]))
    mean, *second = np.tensordot(weights, np.array(moments), 1).T
    covariance = np.array(second) - np.outer(mean, mean)
    # Maximum likelihood over ten groups can put the covariance at its boundary, as if all families were alike. The prior
    # |covariance|^(1/2) keeps it inside (Chung et al., Journal of Educational and Behavioral Statistics 40, 2015).
    covariance *= now.groups / (now.groups - 1)
    scatter = float(mean[2]), float(np.sqrt(covariance[2, 2]))
    return Population(mean[:2], covariance[:2, :2], scatter, now.families, now.groups)


def _normal(grid: Grid, population: Population) -> Reals:
    away = grid.place - population.mean[:, None]
    distance = (away * np.linalg.solve(population.covariance, away)).sum(0)
    middle, spread = population.scatter
    return np.asarray(-distance / 2 - ((np.log(grid.scatter) - middle) / spread) ** 2 / 2)


def _student(grid: Grid, population: Population) -> Reals:
    """Return the log density for a new family: wider than the normal, since few groups have told mean and spread."""
    n = population.groups
    freedom = n - 2
    scale = (1 + 1 / n) * n / freedom
    away = grid.place - population.mean[:, None]
    distance = (away * np.linalg.solve(population.covariance, away)).sum(0) / scale
    middle, spread = population.scatter
    noise = ((np.log(grid.scatter) - middle) / spread) ** 2 / scale
    joint = -(freedom + 2) / 2 * np.log1p(distance / freedom)
    return np.asarray(joint - (freedom + 1) / 2 * np.log1p(noise / freedom))


def _normalised(log_weights: Reals) -> Reals:
    weights = np.exp(log_weights - log_weights.max())
    return np.asarray(weights / weights.sum())


def posterior(
    grid: Grid, population: Population, count: int, rng: np.random.Generator, seed_variance: float = 0.0
) -> tuple[Reals, Reals]:
    """Draw laws and scatters: [count, 3] of A, log gap at the cheapest member and log c; [count] in AP points."""
    share = _normalised(grid.log_likelihood + _student(grid, population))
    chosen = rng.choice(len(share), count, p=share)
    within = rng.uniform(-0.5, 0.5, (3, count)) * np.array(grid.steps)[:, None]  # a point stands for its cell
    log_exponent = grid.log_exponent[chosen] + within[0]
    scatter = np.sqrt((grid.scatter[chosen] * np.exp(within[1])) ** 2 + seed_variance)
    shape = grid.factor ** -np.exp(log_exponent)[:, None]  # [draws, rows], 1 for the cheapest
    gap = np.maximum(grid.rise[chosen] + within[2], 0.01) / (1 - shape[:, -1])
    level = (grid.ap + gap[:, None] * shape).mean(1) + scatter / np.sqrt(len(grid.ap)) * rng.standard_normal(count)
    return np.column_stack([level, np.log(gap), log_exponent]), scatter
