"""Ceiling of a rank correlation: what two equally good full trainings of the same candidates, with other seeds, have."""

from __future__ import annotations

import numpy as np

from scalesearch.evidence.noise import NoiseFloor
from scalesearch.evidence.power_law import Reals
from scalesearch.evidence.rank_bootstrap import FEW, Interval95

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
    from scipy.stats import kendalltau  # Imported here: it takes half a second, which `--help` does not need.

    count = len(values)
    found = np.full((2, _DRAWS), np.nan)
    for draw in range(_DRAWS):
        variance = noise.sd**2 * noise.freedom / rng.chisquare(noise.freedom)
        scale = (count - 1) / rng.chisquare(count - 1)  # of the spread of the values about its own expectation
        truth = shrunk(values, variance * float((1 / runs).mean()) / scale)
        first = truth + np.sqrt(variance / runs) * rng.standard_normal(count)
        second = truth + np.sqrt(variance) * rng.standard_normal(count)
        top = np.argsort(first)[count // 2 :]
        found[0, draw] = kendalltau(first, second).statistic
        if len(top) >= FEW:
            found[1, draw] = kendalltau(first[top], second[top]).statistic
    return _middle(found[0]), _middle(found[1])


def _middle(draws: Reals) -> Interval95 | None:
    known = draws[np.isfinite(draws)]
    if not len(known):
        return None
    low, middle, high = np.quantile(known, [0.025, 0.5, 0.975])
    return Interval95(float(middle), float(low), float(high))
