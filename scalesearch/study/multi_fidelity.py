"""A Gaussian process of the final AP that observes the AP at every rung of a ladder, with estimated noise.

A linear model of coregionalization (Bonilla et al. 2008; Swersky et al. 2013). The AP at rung r of a trial at x is

    linear_r(cost) + rho_r g(x) + lambda_r h(x) + kappa_r e + tau_r p + w

g is what the final AP owes to the features, and what is predicted; h is what the pace of learning owes to them. The noise
of a trial has three parts: e is there to the end (a lucky seed is lucky along its curve), p is its own pace of learning,
w is new at each evaluation. At the top rho and kappa are 1, lambda and tau 0. So where the luck of a seed stays along the
curve, the rise from rung to rung tells more than the APs themselves; whether it does is estimated. All scores of a rung that a
promotion was decided by are observed, so the choice of the promoted does not bias the estimate.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize
from scipy.spatial.distance import cdist

from scalesearch.study.gaussian_process import Array, GroupedMatern, Posterior, Prediction

_FITTED = 64
"""The most trials that hyperparameters are fitted to."""
_STEPS = 40
"""The most steps of L-BFGS."""
_DECIMALS = 2
"""Decimals of the logarithms of hyperparameters."""
_PRIORS = {"signal": (0.0, 1.5), "length": (0.0, 1.0), "seed": (-3.0, 1.5), "white": (-4.0, 1.5)}
"""As in `gaussian_process`: mean and standard deviation of logarithms, for lengths in addition to half the logarithm of
their number."""
_RUNG_PRIORS = {"rho": 0.5, "kappa": 0.7, "tau": 1.0, "lambda": 1.0}
"""Standard deviations of the logarithms of a rung's loadings; see `_prior` for their means."""
_PACE = -1.5
"""Prior mean of the logarithms of lambda and tau, in standard deviations of the final AP."""
_BOUNDS = {
    "signal": (0.05, 50.0),
    "length": (0.05, 100.0),
    "seed": (1e-4, 1.0),
    "white": (1e-4, 1.0),
    "rung": (7e-3, 7.0),
}
_INTERCEPT, _SLOPE = 1.0, 0.3
"""Prior variances of a rung's line over the cost."""
_RATIOS = (0.05, 2.0)
"""Least and largest prior mean of rho."""
_FEW = 3
"""Final APs from which their spread is the unit."""
_JITTER = 1e-8


class Scores(NamedTuple):
    """APs seen along the curves of trials."""

    trial: NDArray[np.int64]
    """Position of its trial [S]."""
    rung: NDArray[np.int64]
    """Its rung [S], from 0; the top, or the highest that any has reached, is the last."""
    ap: Array
    """[S]."""


def predict_final(
    x: Array, size: Array, scores: Scores, groups: NDArray[np.int64], wanted: Array, fitted: int | None = None
) -> Posterior:
    """Return the posterior of the final AP at `wanted` [M, D] and at the places `x` [N, D] of the trials.

    `size` [N] are the logarithms of the trials' multiply-adds. Hyperparameters are fitted to the first `fitted` trials, all
    by default. There are scores of two rungs at least.
    """
    count = len(x) if fitted is None else fitted
    first = scores.trial < count
    rungs = int(scores.rung.max()) + 1
    some = [column[first].tobytes() for column in (scores.trial, scores.rung, scores.ap)]
    theta = _hyperparameters(x[:count].tobytes(), size[:count].tobytes(), *some, rungs, tuple(groups.tolist()))
    model = _model(np.array(theta), rungs, int(groups.max()) + 1)
    values, middle, spread = _scaled(scores, rungs)
    kernel = GroupedMatern(model.length, groups)
    places, rung = x[scores.trial], scores.rung
    covariance = model.covariance(kernel(x)[np.ix_(scores.trial, scores.trial)], scores, size)
    lower = np.linalg.cholesky(covariance)
    weights = cho_solve((lower, True), values)
    top = model.smooth[rung, -1][:, None]
    across = top * kernel(places, wanted)
    explained = (solve_triangular(lower, across, lower=True, check_finite=False) ** 2).sum(axis=0)
    deviation = np.sqrt(np.maximum(model.smooth[-1, -1] - explained, 1e-10))
    known = (top * kernel(places, x)).T @ weights
    return Posterior(Prediction(middle + spread * (across.T @ weights), spread * deviation), middle + spread * known)


class _RungKernel(NamedTuple):
    length: Array
    """[G]."""
    smooth: Array
    """Covariance between rungs of what the features explain [R, R]."""
    own: Array
    """Covariance between rungs of what is one trial's own [R, R]."""
    white: float
    """Variance of what is new at each evaluation."""

    def covariance(self, kernel: Array, scores: Scores, size: Array) -> Array:
        """Return the covariance of scores [S, S], given the kernel between their places."""
        rung = np.ix_(scores.rung, scores.rung)
        same = scores.trial[:, None] == scores.trial[None]
        found = self.smooth[rung] * kernel + same * self.own[rung] + _linear(scores, size, len(self.own))
        found[np.diag_indices_from(found)] += self.white + _JITTER
        return np.asarray(found)


def _linear(scores: Scores, size: Array, rungs: int) -> Array:
    """Return the covariance of the lines over the cost [S, S], one for each rung below the top."""
    cost = ((size - size.mean()) / (float(size.std()) or 1.0))[scores.trial]
    both = (scores.rung[:, None] == scores.rung[None]) & (scores.rung[:, None] < rungs - 1)
    return np.asarray(both * (_INTERCEPT + _SLOPE * cost[:, None] * cost[None]))


def _scaled(scores: Scores, rungs: int) -> tuple[Array, float, float]:
    """Return the scores beside the mean of their rung, in standard deviations at the top; that mean at the top, and the
    standard deviation."""
    top = scores.ap[scores.rung == rungs - 1]
    spread = float(top.std()) if len(top) >= _FEW else float(scores.ap[scores.rung == 0].std())
    spread = spread if spread > 1e-9 else 1.0
    means = np.array([scores.ap[scores.rung == rung].mean() for rung in range(rungs)])
    return (scores.ap - means[scores.rung]) / spread, float(means[-1]), spread


def _ratios(scores: Scores, rungs: int) -> Array:
    """Return the mean AP at each rung below the top, as a share of that at the top of the same trials [R - 1]."""
    ended = set(scores.trial[scores.rung == rungs - 1].tolist())
    mine = np.array([trial in ended for trial in scores.trial.tolist()])
    means = [scores.ap[mine & (scores.rung == rung)] for rung in range(rungs)]
    top = float(means[-1].mean())
    found = [float(aps.mean()) / top if len(aps) and top > 0 else 1.0 for aps in means[:-1]]
    return np.clip(found, *_RATIOS)


def _model(theta: Array, rungs: int, groups: int) -> _RungKernel:
    rho, kappa, tau, pace = _loadings(theta, rungs, groups)
    signal, seed, white = np.exp(theta[[0, 1 + groups, 2 + groups]])
    return _RungKernel(
        np.exp(theta[1 : 1 + groups]),
        signal * np.outer(rho, rho) + np.outer(pace, pace),
        seed * np.outer(kappa, kappa) + np.outer(tau, tau),
        float(white),
    )


def _loadings(theta: Array, rungs: int, groups: int) -> list[Array]:
    """Return rho, kappa, tau and lambda of each rung [R]."""
    below = np.exp(theta[3 + groups :]).reshape(len(_RUNG_PRIORS), rungs - 1)
    return [np.append(row, top) for row, top in zip(below, (1.0, 1.0, 0.0, 0.0), strict=True)]


def _prior(ratios: Array, groups: int) -> tuple[Array, Array, list[tuple[float, float]]]:
    """Return mean, standard deviation and bounds of the logarithms of the hyperparameters.

    What the features explain grows along the curve as the AP does; a seed's luck by the root of that, between growing
    alike and not at all.
    """
    below = len(ratios)
    lengths = [_PRIORS["length"][0] + math.log(groups) / 2] * groups
    mean = [_PRIORS["signal"][0], *lengths, _PRIORS["seed"][0], _PRIORS["white"][0]]
    mean += [*np.log(ratios), *(np.log(ratios) / 2), *[_PACE] * (2 * below)]
    width = [_PRIORS["signal"][1], *[_PRIORS["length"][1]] * groups, _PRIORS["seed"][1], _PRIORS["white"][1]]
    width += [one for one in _RUNG_PRIORS.values() for _ in range(below)]
    names = ["signal", *["length"] * groups, "seed", "white", *["rung"] * (len(_RUNG_PRIORS) * below)]
    bounds = [(math.log(_BOUNDS[name][0]), math.log(_BOUNDS[name][1])) for name in names]
    return np.array(mean), np.array(width), bounds


@lru_cache(maxsize=256)  # a promotion and the proposal after it often have these observations in common
def _hyperparameters(
    x: bytes, size: bytes, trial: bytes, rung: bytes, ap: bytes, rungs: int, groups: tuple[int, ...]
) -> tuple[float, ...]:
    """Return the logarithms of the hyperparameters that are most probable given these observations."""
    places, sizes = np.frombuffer(x).reshape(-1, len(groups)), np.frombuffer(size)
    scores = Scores(np.frombuffer(trial, np.int64), np.frombuffer(rung, np.int64), np.frombuffer(ap))
    ratios = _ratios(scores, rungs) if (scores.rung == rungs - 1).any() else np.ones(rungs - 1)
    places, sizes, scores = _few(places, sizes, scores)
    count = max(groups) + 1
    mean, width, bounds = _prior(ratios, count)
    if len(set(scores.rung.tolist())) < rungs:  # the first trials have not come so far
        return tuple(mean.round(_DECIMALS).tolist())
    loss = _Loss(places, sizes, scores, np.array(groups), mean, width)
    found = minimize(loss, mean, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": _STEPS})
    return tuple(found.x.round(_DECIMALS).tolist())


class _Loss:
    """Minus the logarithm of the posterior density of hyperparameters, and its slope."""

    def __init__(
        self, places: Array, sizes: Array, scores: Scores, groups: NDArray[np.int64], mean: Array, width: Array
    ) -> None:
        self._sizes, self._scores, self._mean, self._width = sizes, scores, mean, width
        self._rungs, self._count = int(scores.rung.max()) + 1, int(groups.max()) + 1
        self._values, _, _ = _scaled(scores, self._rungs)
        at = [places[:, groups == group][scores.trial] for group in range(self._count)]
        self._squares = np.stack([cdist(some, some, "sqeuclidean").ravel() for some in at])
        self._same = (scores.trial[:, None] == scores.trial[None]).astype(np.float64)
        self._at_rung = np.eye(self._rungs)[scores.rung]

    def __call__(self, theta: Array) -> tuple[float, Array]:
        model = _model(theta, self._rungs, self._count)
        # The kernel of `GroupedMatern`, whose gradient would have an element for each pair and length scale.
        far = np.sqrt(5 * (model.length**-2 @ self._squares)).reshape(self._same.shape)
        decay = np.exp(-far)
        kernel = (1 + far + far**2 / 3) * decay
        lower = np.linalg.cholesky(model.covariance(kernel, self._scores, self._sizes))
        inverse = cho_solve((lower, True), np.eye(len(self._values)))
        weights = inverse @ self._values
        likelihood = -float(self._values @ weights) / 2 - float(np.log(np.diag(lower)).sum())
        off = (theta - self._mean) / self._width
        # Twice the slope of the likelihood by each element of the covariance.
        slope = self._slope(theta, model, np.outer(weights, weights) - inverse, kernel, (1 + far) * decay)
        return float(off @ off) / 2 - likelihood, np.asarray(off / self._width - slope / 2)

    def _slope(self, theta: Array, model: _RungKernel, by: Array, kernel: Array, steep: Array) -> Array:
        """Return the slope by each hyperparameter, given that by each element of the covariance."""
        rungs = np.ix_(self._scores.rung, self._scores.rung)
        smooth = self._at_rung.T @ (by * kernel) @ self._at_rung
        own = self._at_rung.T @ (by * self._same) @ self._at_rung
        rho, kappa, tau, pace = _loadings(theta, self._rungs, self._count)
        signal, seed = np.exp(theta[[0, 1 + self._count]])
        lengths = self._squares @ (by * model.smooth[rungs] * steep).ravel()
        return np.concatenate(
            [
                [signal * rho @ smooth @ rho],
                5 / 3 * lengths / model.length**2,
                [seed * kappa @ own @ kappa, model.white * np.trace(by)],
                (2 * signal * rho * (smooth @ rho))[:-1],
                (2 * seed * kappa * (own @ kappa))[:-1],
                (2 * tau * (own @ tau))[:-1],
                (2 * pace * (smooth @ pace))[:-1],
            ]
        )


def _few(places: Array, sizes: Array, scores: Scores) -> tuple[Array, Array, Scores]:
    """Return at most `_FITTED` of the trials, evenly spread."""
    if len(places) <= _FITTED:
        return places, sizes, scores
    some = np.linspace(0, len(places) - 1, _FITTED).astype(np.int64)
    number = np.full(len(places), -1)
    number[some] = np.arange(_FITTED)
    kept = number[scores.trial] >= 0
    return places[some], sizes[some], Scores(number[scores.trial[kept]], scores.rung[kept], scores.ap[kept])
