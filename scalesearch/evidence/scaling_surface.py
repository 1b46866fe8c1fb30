"""AP over the cost and over how the cost is spent: which width, depth and resolution are best at each budget.

AP = A - G (F / F1)^-c - k max(0, f)^2 - sum over the dimensions j of q_j (l_j - a_j - e_j f)^2, with F the multiply-adds, F1
those of the cheapest row, f their logarithm and l_j the logarithm of a dimension, both about their middle. So the best family
follows a law of its cost alone, and a_j + e_j f are its compound coefficients; k is what it loses as its backbone stays as it
is while the rest grows. One dimension follows from the cost and the others, and has no term. The posterior is sampled about its
mode by a Student's t and reweighted by importance.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scalesearch.evidence.family_prior import population
from scalesearch.evidence.power_law import CEILING, Reals
from scalesearch.evidence.scaling_law import Member, seed_variance

DIMENSIONS = ("size", "width", "repeats", "head_depth")
"""The dimensions, the first that varies being the one that follows from the cost."""
LEAST_ROWS = 8
DRAWS = 1000
_PROPOSED, _FREEDOM = 20_000, 5
_COMMON = 5
"""Parameters besides those of dimensions and kinds: A, log G, log c, log scatter, log k."""
_LEVEL, _LOG_GAP = (50.0, 30.0), (math.log(25.0), 1.0)
"""Prior mean and standard deviation of A, in AP points, and of log G. Those of c and of the scatter are of published families,
wider."""
_LOG_BENT = (math.log(0.3), 1.2)
"""Of log k."""
_WIDER = 2.5
_PLACE, _SLOPE, _LOG_CURVATURE = (0.0, 1.0), (0.2, 0.25), (math.log(2.0), 1.2)
"""Of a, e and log q. EfficientDet's published width grows with the cost to the power 0.3, its depth and size to 0.2."""
_OFFSET = 5.0
"""Standard deviation of the offset of another backbone or network, in AP points."""


@dataclass(frozen=True, kw_only=True)
class ScalingSurface:
    """A fitted surface as draws from its posterior. Made by `fit_surface`."""

    members: tuple[Member, ...]
    """Cheapest first."""
    varied: tuple[str, ...]
    """Dimensions with terms."""
    solved: str
    """The dimension that follows from the cost."""
    draws: Reals
    """[draws, parameters]: A, log G, log c, log scatter, log k; a, e, log q of each dimension; an offset for each other kind."""
    kinds: tuple[str, ...]
    """What the rows differ in besides the dimensions; the surface is that of the first."""

    @property
    def scatter(self) -> Reals:
        """Standard deviation of a detector about the surface, in AP points, [draws]."""
        return np.asarray(np.exp(self.draws[:, 3]))

    def predict(self, macs: Reals, dimensions: Mapping[str, Reals]) -> Reals:
        """Return the AP [draws, designs] of designs of the first kind, without their scatter, in AP points."""
        middle, known = _middles(self.members, self.varied)
        f = np.log(macs) - middle
        logs = np.stack([_logs(name, dimensions[name]) - known[name] for name in self.varied])
        return np.clip(_surface(self.draws, f, f + middle - math.log(self.members[0].macs), logs), *CEILING)

    def known(self, name: str) -> tuple[float, float]:
        """Return the least and the largest known value of a dimension."""
        values = [one.dimensions[name] for one in self.members]
        return min(values), max(values)


def varied_dimensions(members: Sequence[Member]) -> tuple[str, ...]:
    """Return the dimensions that all members have and that vary among them."""
    shared = [name for name in DIMENSIONS if all(name in one.dimensions for one in members)]
    return tuple(name for name in shared if len({one.dimensions[name] for one in members}) > 1)


def fit_surface(members: Sequence[Member], seed: int = 0) -> ScalingSurface | None:
    """Fit the surface; None where fewer than two dimensions vary, or there are too few rows to tell them apart."""
    varied = varied_dimensions(members)
    ordered = tuple(sorted(members, key=lambda one: one.macs))
    if len(members) < LEAST_ROWS or len(varied) < 2 or ordered[-1].macs <= ordered[0].macs:
        return None
    solved, *own = varied
    posterior = _SurfacePosterior(ordered, own)
    best = _mode(posterior)
    draws = _sampled(posterior, best, np.random.default_rng(seed))
    return ScalingSurface(members=ordered, varied=tuple(own), solved=solved, draws=draws, kinds=posterior.kinds)


def _middles(members: Sequence[Member], varied: Sequence[str]) -> tuple[float, dict[str, float]]:
    middle = float(np.mean([math.log(one.macs) for one in members]))
    known = {name: float(_logs(name, np.array([one.dimensions[name] for one in members])).mean()) for name in varied}
    return middle, known


def _logs(name: str, values: Reals) -> Reals:
    return np.asarray(np.log(values + (name == "head_depth")))  # a head may have no convolution


def _surface(parameters: Reals, f: Reals, log_factor: Reals, logs: Reals) -> Reals:
    """Return AP [draws, designs] of parameters [draws, ...]; f and log (F / F1) [designs], logs [dimensions, designs]."""
    level, gap, exponent = parameters[:, :1], np.exp(parameters[:, 1:2]), np.exp(parameters[:, 2:3])
    found = level - gap * np.exp(-exponent * log_factor) - np.exp(parameters[:, 4:5]) * np.maximum(f, 0.0) ** 2
    for i, log in enumerate(logs):
        place, slope, curvature = (parameters[:, [_COMMON + 3 * i + k]] for k in range(3))
        found = found - np.exp(curvature) * (log - place - slope * f) ** 2
    return np.asarray(found)


class _SurfacePosterior:
    """The log density of the parameters, given the rows."""

    def __init__(self, members: Sequence[Member], varied: Sequence[str]) -> None:
        counts = {kind: sum(one.kind == kind for one in members) for kind in dict.fromkeys(one.kind for one in members)}
        self.kinds = tuple(sorted(counts, key=lambda kind: (-counts[kind], kind)))
        middle, known = _middles(members, varied)
        macs = np.array([one.macs for one in members])
        self._f, self._log_factor = np.log(macs) - middle, np.log(macs / macs[0])
        self._logs = np.stack(
            [_logs(name, np.array([one.dimensions[name] for one in members])) - known[name] for name in varied]
        )
        self._offsets = np.array([[float(one.kind == kind) for one in members] for kind in self.kinds[1:]])
        self._ap = np.array([one.ap for one in members])
        self._of_seeds = seed_variance(members)
        published = population()
        exponent = (float(published.mean[1]), _WIDER * float(np.sqrt(published.covariance[1, 1])))
        scatter = (published.scatter[0], _WIDER * published.scatter[1])
        priors = [_LEVEL, _LOG_GAP, exponent, scatter, _LOG_BENT, *[_PLACE, _SLOPE, _LOG_CURVATURE] * len(varied)]
        priors += [(0.0, _OFFSET)] * (len(self.kinds) - 1)
        self.mean, self.spread = np.array(priors).T

    def log_density(self, parameters: Reals) -> Reals:
        """Return the log density [draws] of parameters [draws, ...], up to a constant."""
        found = _surface(parameters, self._f, self._log_factor, self._logs)
        if len(self.kinds) > 1:
            found = found + parameters[:, -len(self._offsets) :] @ self._offsets
        variance = np.exp(2 * parameters[:, 3]) + self._of_seeds
        squares = ((self._ap - found) ** 2).sum(1)
        prior = (((parameters - self.mean) / self.spread) ** 2).sum(1)
        density = -0.5 * (squares / variance + len(self._ap) * np.log(variance) + prior)
        return np.where(parameters[:, 0] <= CEILING[1], density, -np.inf)


def _mode(posterior: _SurfacePosterior) -> Reals:
    """Return the parameters of the highest density, from several starts."""
    from scipy.optimize import minimize  # Imported here: it takes a fifth of a second, which `--help` does not need.

    bounds = [(None, CEILING[1] - 1.0), *[(None, None)] * (len(posterior.mean) - 1)]

    steps = 1e-5 * np.diag(posterior.spread)

    def lost(values: Reals) -> tuple[float, Reals]:
        around = posterior.log_density(np.concatenate([values[None], values + steps, values - steps]))
        ahead, behind = np.split(around[1:], 2)
        return -float(around[0]), -(ahead - behind) / (2 * np.diag(steps))

    ended = []
    for exponent in (0.2, 0.6):
        for slope in (0.0, 0.3):
            start = posterior.mean.copy()
            start[2] = math.log(exponent)
            start[_COMMON + 1 :: 3][: (len(start) - _COMMON) // 3] = slope
            ended.append(
                minimize(
                    lost, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxfun": 50_000, "maxiter": 2000}
                )
            )
    return np.asarray(min(ended, key=lambda one: float(one.fun)).x)


def _sampled(posterior: _SurfacePosterior, best: Reals, rng: np.random.Generator) -> Reals:
    """Draw from Student's t about the mode, and draw of these by importance."""
    step = 1e-3 * posterior.spread
    size = len(best)
    moves = np.concatenate([(i * np.eye(size)[:, None] + j * np.eye(size)[None]) for i in (1, -1) for j in (1, -1)])
    around = posterior.log_density(best + (moves.reshape(-1, size) * step)).reshape(2, 2, size, size)
    curved = -(around[0, 0] - around[0, 1] - around[1, 0] + around[1, 1]) / (4 * np.outer(step, step))
    values, vectors = np.linalg.eigh((curved + curved.T) / 2 * np.outer(posterior.spread, posterior.spread))
    # In units of the prior the curvature is at least that of the prior, 1; at a bound it may not be seen.
    root = posterior.spread[:, None] * vectors / np.sqrt(np.maximum(values, 1.0))
    normal = rng.standard_normal((_PROPOSED, size))
    heavy = np.sqrt(rng.chisquare(_FREEDOM, (_PROPOSED, 1)) / _FREEDOM)
    drawn = best + (normal / heavy) @ root.T
    squares = ((normal / heavy) ** 2).sum(1)
    weights = posterior.log_density(drawn) + (_FREEDOM + size) / 2 * np.log1p(squares / _FREEDOM)
    weights = np.exp(weights - weights.max())
    weights = np.minimum(weights, weights.mean() * math.sqrt(_PROPOSED))  # Ionides, J. Comput. Graph. Stat. 17, 2008
    return np.asarray(drawn[rng.choice(_PROPOSED, DRAWS, p=weights / weights.sum())])
