"""Least squares of AP = A - G1 x1^-c1 - G2 x2^-c2: one fit from many starts, and many fits at a time.

Each factor x is relative to its least value, so that G is the AP that is missing there. Pure functions over arrays.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

CEILING = (0.0, 100.0)
GAP = (1e-3, 100.0)
EXPONENT = (0.02, 4.0)
"""Bounds of A, G (both in AP points) and c. Below 0.02, x^-c over a factor of 1,000 in x is a straight line in log x."""
_START_EXPONENTS = (0.08, 0.25, 0.6, 1.5)
_SAME = 1e-3
"""Starts agree that end within this of the least root mean square error, in AP points."""
_ITERATIONS = 200
_MOST_NUMBERS = 5_000_000
"""Of an array; there are some ten of them."""


class Solution(NamedTuple):
    """A fit from many starts."""

    values: Reals
    """[1 + 2 factors]: A, then log G and log c of each factor."""
    squares: float
    """Sum of the squared residuals."""
    starts: int
    agreeing: int
    """The starts that ended at this minimum, within 0.001 AP of root mean square error."""


class Penalty(NamedTuple):
    """A normal prior of (log G, log c) of the only factor, in units of the residuals."""

    mean: Reals
    """[2]."""
    root: Reals
    """[2, 2]: the prior's term in the sum of squares is that of `root @ (values - mean)`."""


def bounds(factors: int) -> tuple[Reals, Reals]:
    """Return the least and the largest values of the parameters, each [1 + 2 factors]."""
    ends = [CEILING, *(tuple(np.log(end)) for _ in range(factors) for end in (GAP, EXPONENT))]
    low, high = np.array(ends, float).T
    return low, high


def curve(values: Reals, factors: Reals) -> Reals:
    """Return AP [..., rows] of parameters [..., 1 + 2 factors] at factors [factors, rows]."""
    gap, exponent = np.exp(values[..., 1::2]), np.exp(values[..., 2::2])
    terms = gap[..., None] * factors ** -exponent[..., None]
    return np.asarray(values[..., :1] - terms.sum(-2))


def _slopes(values: Reals, factors: Reals) -> Reals:
    """Return the derivatives [..., rows, 1 + 2 factors] of `curve`."""
    gap, exponent = np.exp(values[..., 1::2, None]), np.exp(values[..., 2::2, None])
    terms = gap * factors**-exponent
    found = np.ones((*terms.shape[:-2], terms.shape[-1], values.shape[-1]))
    found[..., 1::2] = np.swapaxes(-terms, -1, -2)
    found[..., 2::2] = np.swapaxes(terms * exponent * np.log(factors), -1, -2)
    return found


def solve(factors: Reals, ap: Reals, penalty: Penalty | None = None) -> Solution:
    """Fit by SciPy's bounded trust region from a grid of starts: factors [factors, rows], AP points [rows]."""
    # Imported here: it takes a fifth of a second, which `--help` does not need.
    from scipy.optimize import least_squares

    low, high = bounds(len(factors))

    def residuals(values: Reals) -> Reals:
        found = curve(values, factors) - ap
        return found if penalty is None else np.append(found, penalty.root @ (values[1:] - penalty.mean))

    def slopes(values: Reals) -> Reals:
        found = _slopes(values, factors)
        if penalty is None:
            return found
        return np.vstack([found, np.hstack([np.zeros((2, 1)), penalty.root])])

    ended = [
        least_squares(residuals, start, slopes, bounds=(low, high), x_scale="jac", max_nfev=1000)
        for start in _starts(factors, ap)
    ]
    best = min(ended, key=lambda one: float(one.cost))
    error = [float(np.sqrt(2 * one.cost / len(ap))) for one in (best, *ended)]
    agreeing = sum(one - error[0] < _SAME for one in error[1:])
    squares = float(((curve(best.x, factors) - ap) ** 2).sum())
    return Solution(np.asarray(best.x), squares, len(ended), agreeing)


def _starts(factors: Reals, ap: Reals) -> list[Reals]:
    """Return a start for each combination of exponents, with A and G by linear least squares inside the bounds."""
    low, high = bounds(len(factors))
    found = []
    for exponents in product(_START_EXPONENTS, repeat=len(factors)):
        shape = np.vstack([np.ones(len(ap)), *(-(x**-c) for x, c in zip(factors, exponents, strict=True))]).T
        ceiling, *gaps = np.linalg.lstsq(shape, ap, rcond=None)[0]
        logs = [word for gap, c in zip(gaps, exponents, strict=True) for word in (np.log(max(gap, 0.1)), np.log(c))]
        found.append(np.clip([ceiling, *logs], low + 1e-6, high - 1e-6))
    return found


def solve_many(factors: Reals, ap: Reals, start: Reals) -> Reals:
    """Fit each replicate by Levenberg and Marquardt inside the bounds, as many of them at a time as memory allows.

    factors [factors, rows], AP [replicates, rows], start [1 + 2 factors]. Each replicate is started there and at half and
    twice those exponents; the best end is returned, [replicates, 1 + 2 factors].
    """
    at_a_time = max(1, _MOST_NUMBERS // (3 * ap.shape[1] * len(start)))
    parts = [ap[first : first + at_a_time] for first in range(0, len(ap), at_a_time)]
    return np.concatenate([_solve_part(factors, part, start) for part in parts])


def _solve_part(factors: Reals, ap: Reals, start: Reals) -> Reals:
    low, high = bounds(len(factors))
    starts = np.tile(start, (3, 1))
    starts[:, 2::2] += np.log([[1.0], [0.5], [2.0]])
    values = np.repeat(np.clip(starts, low, high), len(ap), axis=0)
    ap = np.tile(ap, (3, 1))
    damping = np.full(len(values), 1e-2)
    squares = ((ap - curve(values, factors)) ** 2).sum(-1)
    active = np.arange(len(values))
    for _ in range(_ITERATIONS):
        tried = np.clip(values[active] + _step(values[active], factors, ap[active], damping[active]), low, high)
        after, before = ((ap[active] - curve(tried, factors)) ** 2).sum(-1), squares[active]
        better = after < before
        values[active[better]], squares[active[better]] = tried[better], after[better]
        damping[active] = np.clip(np.where(better, damping[active] / 5, damping[active] * 4), 1e-9, 1e9)
        active = active[np.where(better, before - after > 1e-7 * before, damping[active] < 1e6)]
        if not len(active):
            break
    best = squares.reshape(3, -1).argmin(0)
    return np.asarray(values.reshape(3, -1, values.shape[-1])[best, np.arange(len(best))])


def _step(values: Reals, factors: Reals, ap: Reals, damping: Reals) -> Reals:
    """Return the damped Gauss-Newton step of each replicate; a parameter that would leave its bounds takes no part."""
    low, high = bounds(len(factors))
    slopes = _slopes(values, factors)
    normal = np.swapaxes(slopes, -1, -2) @ slopes
    right = (np.swapaxes(slopes, -1, -2) @ (ap - curve(values, factors))[..., None])[..., 0]
    held = ((values <= low) & (right < 0)) | ((values >= high) & (right > 0))
    normal[held[:, :, None] | held[:, None, :]] = 0.0
    diagonal = np.einsum("rii->ri", normal)
    most = diagonal.max(1, keepdims=True) + 1e-12
    diagonal += damping[:, None] * diagonal + 1e-9 * most + held * most
    return np.asarray(np.linalg.solve(normal, np.where(held, 0.0, right)[..., None])[..., 0])
