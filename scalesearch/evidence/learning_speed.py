"""Does a short training measure how good a candidate is, or only how fast it learns? By the ranks that move with epochs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scalesearch.evidence.noise import NoiseFloor
from scalesearch.evidence.power_law import Reals
from scalesearch.evidence.rank_bootstrap import FEW, Interval95, correlation, kendalls, resamples, row_kendalls
from scalesearch.evidence.rank_ceiling import middle_of, shrunk

_DRAWS = 500
_LEAST_AP = 1e-3
"""Candidates with less in the end have no speed of learning."""
_MOST_SHARE = 0.8
"""Of the agreement that noise alone would leave: with more than this the order counts as kept."""


@dataclass(frozen=True, kw_only=True)
class RankMoves:
    """Ranks after a short training beside those after the full one; rank 1 is the best."""

    short: tuple[int, ...]
    full: tuple[int, ...]
    movers: tuple[int, ...]
    """Candidates, by index, whose rank moves by more than noise moves it in 95 % of cases; the largest moves first."""
    by_chance: float
    """Movers to be expected of noise alone."""
    tau: float
    """Kendall's tau of the two orders."""
    noise_alone: Interval95 | None
    """Tau that would be seen if no true rank moved. None where the noise is unknown, as are the movers."""
    climbs_with_cost: Interval95 | None
    """Kendall's tau of the climb (places won on the way to the end) with the cost."""
    speed_minus_quality: Interval95 | None
    """Tau of the short AP with its share of the final AP, minus its tau with the final AP itself."""

    @property
    def more_than_noise(self) -> bool:
        """Whether true ranks move: the two orders agree less than they would with noise alone."""
        return self.noise_alone is not None and self.tau < self.noise_alone.low

    @property
    def measures_speed(self) -> bool:
        """Whether the short order is that of the speed of learning more than that of the final AP, beyond noise."""
        return (
            self.more_than_noise
            and self.noise_alone is not None
            and self.tau < _MOST_SHARE * self.noise_alone.value
            and self.speed_minus_quality is not None
            and self.speed_minus_quality.low > 0
        )


def rank_moves(
    short: Reals,
    full: Reals,
    runs: Reals,
    short_noise: NoiseFloor | None,
    full_noise: NoiseFloor | None,
    log_cost: Reals | None,
    rng: np.random.Generator,
) -> RankMoves | None:
    """Compare the AP after a short training, one run each, with the full AP, means over `runs` runs.

    That no rank moves is simulated as the same order in both, each with its own spread and noise. Where both are of one
    run they share luck, and noise alone moves ranks less than simulated: the test errs to the side of no movers.
    None where either has no order.
    """
    counts = resamples(len(full), rng)
    if (found := correlation(short, full, counts)) is None:
        return None
    places = [_places(values) for values in (short, full)]
    climb = places[0] - places[1]
    movers: list[int] = []
    alone = None
    if short_noise and full_noise:
        moved, taus = _by_noise(short, full, runs, short_noise, full_noise, rng)
        chance = (np.abs(moved) >= np.abs(climb)).mean(0)
        movers = sorted(np.flatnonzero(chance <= 0.05).tolist(), key=lambda i: (-abs(climb[i]), i))
        alone = middle_of(taus)
    with_cost = correlation(climb, log_cost, counts) if log_cost is not None else None
    return RankMoves(
        short=tuple(places[0].astype(int).tolist()),
        full=tuple(places[1].astype(int).tolist()),
        movers=tuple(movers),
        by_chance=0.05 * len(full),
        tau=found.kendall.value,
        noise_alone=alone,
        climbs_with_cost=with_cost.kendall if with_cost else None,
        speed_minus_quality=_speed_minus_quality(short, full, rng),
    )


def _by_noise(
    short: Reals,
    full: Reals,
    runs: Reals,
    short_noise: NoiseFloor,
    full_noise: NoiseFloor,
    rng: np.random.Generator,
) -> tuple[Reals, Reals]:
    """Return the moves [draws, candidates] and taus [draws] that noise alone gives."""
    variances = [one.sd**2 * one.freedom / rng.chisquare(one.freedom, _DRAWS) for one in (short_noise, full_noise)]
    best_first = np.argsort(-full, kind="stable")
    early = np.empty((_DRAWS, len(full)))
    # The same order as that of the full trainings, with its own spread.
    early[:, best_first] = [np.sort(shrunk(short, variance))[::-1] for variance in variances[0]]
    early += np.sqrt(variances[0])[:, None] * rng.standard_normal(early.shape)
    of_mean = float((1 / runs).mean())
    late = np.array([shrunk(full, variance * of_mean) for variance in variances[1]])
    late += np.sqrt(variances[1])[:, None] / np.sqrt(runs) * rng.standard_normal(late.shape)
    moved = np.array([_places(one) - _places(other) for one, other in zip(early, late, strict=True)])
    return moved, row_kendalls(early, late)


def _places(values: Reals) -> Reals:
    """Return ranks, 1 for the largest; equal values share the best one."""
    return np.asarray(1.0 + np.searchsorted(np.sort(-values), -values))


def _speed_minus_quality(short: Reals, full: Reals, rng: np.random.Generator) -> Interval95 | None:
    learned = full > _LEAST_AP
    if learned.sum() < FEW:
        return None
    short, full = short[learned], full[learned]
    counts = resamples(len(full), rng)
    difference = kendalls(short, short / full, counts) - kendalls(short, full, counts)
    if not np.isfinite(difference[0]):
        return None
    low, high = np.nanquantile(difference[1:], [0.025, 0.975])
    return Interval95(float(difference[0]), float(low), float(high))
