"""Ceiling of a rank correlation: what two equally good full trainings of the same candidates, with other seeds, have."""

from __future__ import annotations

import numpy as np

from scalesearch.evidence.noise import NoiseFloor
from scalesearch.evidence.power_law import Reals
from scalesearch.evidence.rank_bootstrap import FEW, Interval95, row_kendalls

_DRAWS = 400


def shrunk(values: Reals, variance: float) -> Reals:
    """Return the values drawn towards their mean, so that their variance is less by `variance`, that of their noise.

    Values shrunk each for itself would vary too little (Louis, Journal of the American Statistical Association 79, 1984).
    """
    spread = float(values.var(ddof=1)) if len(values) > 1 else 0.0
    share = max(0.0, 1 - variance / spread) if spread else 0.0
    return np.asarray(values.mean() + np.sqrt(share) * (values - values.mean()))


def ceilings(
    values: Reals, runs: Reals, noise: NoiseFloor, rng: np.random.Generator
) -> tuple[Interval95 | None, Interval95 | None]:
    """Return Kendall's tau of `values` (means over `runs` seeds) with one more training: over all, and the better half.

    True values are drawn from what is left of the spread of `values` without noise; the noise and that spread are drawn
    from their own uncertainty.
    """
    count = len(values)
    variances = noise.sd**2 * noise.freedom / rng.chisquare(noise.freedom, _DRAWS)
    scales = (count - 1) / rng.chisquare(count - 1, _DRAWS)  # of the spread of the values about its own expectation
    of_mean = float((1 / runs).mean())
    truth = np.array([shrunk(values, v * of_mean / scale) for v, scale in zip(variances, scales, strict=True)])
    deviation = np.sqrt(variances)[:, None]
    first = truth + deviation / np.sqrt(runs) * rng.standard_normal(truth.shape)
    second = truth + deviation * rng.standard_normal(truth.shape)
    top = np.argsort(first, axis=1)[:, count // 2 :]
    half = None
    if top.shape[1] >= FEW:
        half = middle_of(row_kendalls(np.take_along_axis(first, top, 1), np.take_along_axis(second, top, 1)))
    return middle_of(row_kendalls(first, second)), half


def middle_of(draws: Reals) -> Interval95 | None:
    """Return the median of draws with the interval of 95 % of them; None where all are NaN."""
    known = draws[np.isfinite(draws)]
    if not len(known):
        return None
    low, middle, high = np.quantile(known, [0.025, 0.5, 0.975])
    return Interval95(float(middle), float(low), float(high))
