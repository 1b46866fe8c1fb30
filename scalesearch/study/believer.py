"""The posterior of AP while candidates are in training, which are taken to come to their expected AP ("kriging believer",
Ginsbourger et al. 2010).

What is believed moves no mean, it only narrows the deviations. So the mean is that of the observations, and a deviation is
computed only where a bound of it does not tell already that a candidate is not chosen.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular

from scalesearch.study.gaussian_process import Array, hyperparameters

_FIRST = 128
"""Observations that bound a deviation: with more of them it is never larger."""
_BELIEVED = 256
"""The most candidates in training that narrow deviations: those most like a contender."""


class _Kernel(NamedTuple):
    """Matérn 5/2, as `gaussian_process.GroupedMatern`, with distances by matrix products: three times as fast."""

    signal: float
    noise: float

    def __call__(self, a: Array, b: Array) -> Array:
        far: Array = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
        np.maximum(far, 0.0, out=far)
        far *= 5.0
        square = far / 3
        np.sqrt(far, out=far)
        square += far
        square += 1.0
        np.negative(far, out=far)
        np.exp(far, out=far)
        far *= square
        far *= self.signal
        return far


class Believer:
    """The posterior at `wanted` [M, D] given `ap` [N] at `x` [N, D] and candidates in training at `busy` [B, D].

    Hyperparameters are fitted to the observations numbered `fitted`.
    """

    def __init__(
        self, x: Array, ap: Array, groups: NDArray[np.int64], busy: Array, wanted: Array, fitted: list[int]
    ) -> None:
        theta = hyperparameters(x[fitted], ap[fitted], groups)
        lengths = np.exp(np.array(theta[1:-1]))[groups]
        self._kernel = kernel = _Kernel(math.exp(theta[0]), math.exp(theta[-1]))
        middle, self._spread = float(ap.mean()), float(ap.std()) or 1.0
        x, self._busy, self._wanted = x / lengths, busy / lengths, wanted / lengths
        among = kernel(x, x)
        np.fill_diagonal(among, kernel.signal + kernel.noise)
        self._lower = cholesky(among, lower=True, check_finite=False)
        weights = cho_solve((self._lower, True), (ap - middle) / self._spread, check_finite=False)
        np.fill_diagonal(among, kernel.signal)
        self._across = kernel(x, self._wanted)
        self._to_busy = kernel(x, self._busy)
        self.mean: Array = middle + self._spread * (weights @ self._across)
        """Mean AP [M]."""
        believed = weights @ self._to_busy
        self.known: Array = middle + self._spread * np.concatenate([among @ weights, believed])
        """Mean AP [N + B] of the observations and of those in training."""
        few = slice(0, min(_FIRST, len(x)))
        root = solve_triangular(self._lower[few, few], self._across[few], lower=True, check_finite=False)
        self.bound = self._deviation((root**2).sum(0))
        """At least the standard deviation [M]."""

    def believe(self, contenders: NDArray[np.int64]) -> None:
        """Take those in training that are most like a contender to come to their expected AP."""
        some = np.arange(len(self._busy))
        if len(some) > _BELIEVED:
            alike = self._kernel(self._busy, self._wanted[contenders]).max(axis=1).round(9)
            some = np.sort(np.argsort(-alike, kind="stable")[:_BELIEVED])
        self._some = self._busy[some]
        self._root = solve_triangular(self._lower, self._to_busy[:, some], lower=True, check_finite=False)
        left = self._kernel(self._some, self._some) - self._root.T @ self._root
        left[np.diag_indices_from(left)] += self._kernel.noise
        self._narrow = cholesky(left, lower=True, check_finite=False)

    def deviations(self, rows: NDArray[np.int64]) -> Array:
        """Return the standard deviations of AP at these rows of `wanted`, after `believe`."""
        root = solve_triangular(self._lower, self._across[:, rows], lower=True, check_finite=False)
        rest = self._kernel(self._some, self._wanted[rows]) - self._root.T @ root
        narrow = solve_triangular(self._narrow, rest, lower=True, check_finite=False)
        return self._deviation((root**2).sum(0) + (narrow**2).sum(0))

    def _deviation(self, explained: Array) -> Array:
        return np.asarray(self._spread * np.sqrt(np.maximum(self._kernel.signal - explained, 1e-10)))
