"""A Gaussian process of AP over the features of candidates, with estimated noise. Imports scikit-learn.

The kernel is Matérn 5/2 with one length scale for each group of features. Hyperparameters are the maximum a posteriori
under weak priors, so that ten observations in twenty dimensions do not overfit (Hvarfner et al. 2024, sec. 4: length
scales that grow with the root of the dimension). They are rounded, so that two processors go on from equal ones.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import (
    ConstantKernel,
    Hyperparameter,
    Kernel,
    NormalizedKernelMixin,
    StationaryKernelMixin,
    WhiteKernel,
)

Array = NDArray[np.float64]

_BOUNDS = {"signal": (0.05, 50.0), "length": (0.05, 100.0), "noise": (1e-4, 1.0)}
"""Of hyperparameters, for values and groups of features with a variance of 1."""
_PRIORS = {"signal": (0.0, 1.5), "length": (0.0, 1.0), "noise": (-3.0, 1.5)}
"""Mean and standard deviation of each logarithm; for lengths in addition to half the logarithm of their number."""
_FITTED = 128
"""The most observations that hyperparameters are fitted to: with 20 groups 0.4 s, with 256 observations 1.3 s."""
_STEPS = 60
"""The most steps of L-BFGS; usually it takes 15 to 40."""
_DECIMALS = 2
"""Decimals of the logarithms of hyperparameters."""


class Prediction(NamedTuple):
    """The posterior of the mean AP, without the noise of a training."""

    mean: Array
    """[N]."""
    deviation: Array
    """Standard deviation [N]."""


class Posterior(NamedTuple):
    """What is expected at the places asked for and at those observed."""

    wanted: Prediction
    observed: Array
    """Mean AP [N] at the observed places."""


class GroupedMatern(StationaryKernelMixin, NormalizedKernelMixin, Kernel):  # type: ignore[misc]  # untyped base
    """Matérn kernel of smoothness 5/2 whose columns of one group share a length scale."""

    def __init__(self, length_scale: Array, groups: NDArray[np.int64]) -> None:
        self.length_scale = length_scale
        self.groups = groups

    @property
    def hyperparameter_length_scale(self) -> Hyperparameter:
        """The length scales, as scikit-learn finds them."""
        return Hyperparameter("length_scale", "numeric", _BOUNDS["length"], len(self.length_scale))

    def __call__(self, x: Array, y: Array | None = None, eval_gradient: bool = False) -> Any:
        """Return the kernel [N, M] and, if asked, its gradient by the logarithms of the length scales [N, N, G]."""
        scale = np.asarray(self.length_scale)[self.groups]
        left = x / scale
        far = math.sqrt(5) * cdist(left, left if y is None else y / scale)
        decay = np.exp(-far)
        kernel = (1 + far + far**2 / 3) * decay
        if not eval_gradient:
            return kernel
        slope = 5 / 3 * (1 + far) * decay
        columns = [left[:, self.groups == g] for g in range(len(self.length_scale))]
        return kernel, np.stack([slope * cdist(some, some, "sqeuclidean") for some in columns], axis=-1)


def predict(x: Array, y: Array, groups: NDArray[np.int64], wanted: Array, fitted: int | None = None) -> Posterior:
    """Return the posterior at `wanted` [M, D] given observations `y` [N] at `x` [N, D].

    Hyperparameters are fitted to the first `fitted` observations, all by default. A place may be observed several
    times; that is what tells the noise from the landscape.
    """
    middle, spread = float(y.mean()), float(y.std()) or 1.0
    first = len(y) if fitted is None else fitted
    theta = hyperparameters(x[:first], y[:first], groups)
    model = GaussianProcessRegressor(_kernel(groups, theta), optimizer=None).fit(x, (y - middle) / spread)
    mean, deviation = model.predict(wanted, return_std=True)
    latent = np.sqrt(np.maximum(deviation**2 - math.exp(theta[-1]), 1e-10))
    known: Array = model.predict(x)
    return Posterior(Prediction(middle + spread * mean, spread * latent), middle + spread * known)


def hyperparameters(x: Array, y: Array, groups: NDArray[np.int64]) -> tuple[float, ...]:
    """Return the logarithms of signal, length scales and noise that are most probable given `y` [N] at `x` [N, D]."""
    return _hyperparameters(x.tobytes(), y.tobytes(), tuple(groups.tolist()))


def _kernel(groups: NDArray[np.int64], theta: tuple[float, ...] | None = None) -> Any:
    count = int(groups.max()) + 1
    kernel = ConstantKernel(1.0, _BOUNDS["signal"]) * GroupedMatern(np.full(count, math.sqrt(count)), groups)
    kernel = kernel + WhiteKernel(0.1, _BOUNDS["noise"])
    if theta is not None:
        kernel.theta = np.array(theta)
    return kernel


@lru_cache(maxsize=256)  # of a study's next proposal most observations are known from the last one
def _hyperparameters(x: bytes, y: bytes, groups: tuple[int, ...]) -> tuple[float, ...]:
    """`hyperparameters`, with arrays as bytes."""
    places, values = np.frombuffer(x).reshape(-1, len(groups)), np.frombuffer(y)
    if len(values) > _FITTED:
        some = np.linspace(0, len(values) - 1, _FITTED).astype(np.int64)
        places, values = places[some], values[some]
    values = (values - values.mean()) / (float(values.std()) or 1.0)
    count = max(groups) + 1
    mean = np.array([_PRIORS["signal"][0], *[_PRIORS["length"][0] + math.log(count) / 2] * count, _PRIORS["noise"][0]])
    width = np.array([_PRIORS["signal"][1], *[_PRIORS["length"][1]] * count, _PRIORS["noise"][1]])

    model = GaussianProcessRegressor(_kernel(np.array(groups)), optimizer=None).fit(places, values)

    def loss(theta: Array) -> tuple[float, Array]:
        likelihood, slope = model.log_marginal_likelihood(theta, eval_gradient=True, clone_kernel=False)
        off = (theta - mean) / width
        return float(off @ off) / 2 - likelihood, np.asarray(off / width - slope)

    # Not scikit-learn's own search, which knows no prior and warns where a bound is reached, as one may be.
    start, bounds = model.kernel_.theta, model.kernel_.bounds
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"maxiter": _STEPS})
    return tuple(found.x.round(_DECIMALS).tolist())
