"""Audit of a proxy: how well a short training, its losses, or what is known without training ranks as full training does.

Pure functions over plain data. A rank correlation is attenuated by the noise of both sides, so each stands beside its
ceiling: what one more full training of each candidate, with another seed, would have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

import numpy as np

from scalesearch.evidence.learning_speed import RankMoves, rank_moves
from scalesearch.evidence.noise import NoiseFloor, noise_floor
from scalesearch.evidence.power_law import Reals
from scalesearch.evidence.rank_bootstrap import (
    FEW,
    Interval95,
    RankCorrelation,
    better_half,
    correlation,
    resamples,
)
from scalesearch.evidence.rank_ceiling import ceilings

ALL, HALF, BEYOND_COST = "all", "better half", "beyond cost"
SCOPES = (ALL, HALF, BEYOND_COST)
"""What a correlation is taken over. better half: by full training. beyond cost: both sides minus their lines over the
logarithm of the cost."""
AP, LOSS = "AP", "sum of losses"
MOST_CANDIDATES, MOST_EPOCHS = 500, 16
"""More candidates are sampled, of more epochs some are taken, evenly in their logarithm."""
_SAME_COST = 1.02
"""Costs within this factor are one cost."""


@dataclass(frozen=True, kw_only=True)
class AuditedTraining:
    """One training, as far as an audit needs it."""

    seed: int
    aps: Mapping[int, float]
    """AP by epochs done."""
    loss_sums: Mapping[int, float] = field(default_factory=dict)
    """Sum of the training losses of all epochs so far, by epochs done."""


@dataclass(frozen=True, kw_only=True)
class AuditedCandidate:
    """A candidate with its short trainings and its full ones, both by seed and at least one of each."""

    name: str
    short: tuple[AuditedTraining, ...]
    full: tuple[float, ...]
    """AP of each full training. Where the short trainings are their beginnings, in the order of `short`."""
    free: Mapping[str, float]
    """What is known without training."""


@dataclass(frozen=True, kw_only=True)
class ProxyComparison:
    """Short trainings beside full ones, of the same candidates."""

    short: str
    full: str
    """What the trainings are, in words."""
    candidates: tuple[AuditedCandidate, ...]
    epochs: int
    """Length of a full training."""
    within: bool
    """Whether the short trainings are the beginnings of the full ones, and have their luck."""
    noise: NoiseFloor | None
    """Of one full training."""
    cost: str = ""
    """The free predictor that is the cost; empty where none is."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PredictorAudit:
    """How one predictor ranks."""

    name: str
    epochs: int
    """Epochs that it needs; 0 for what is known without training."""
    over: Mapping[str, RankCorrelation]
    """By scope; a scope with fewer than five candidates, or without an order, is absent."""
    regret: float
    """Full AP of the best candidate minus that of the predictor's first."""
    noise: NoiseFloor | None = None
    """Of the AP after these epochs."""
    moves: RankMoves | None = None
    """Ranks from here to the end; of an AP alone."""


@dataclass(frozen=True, kw_only=True)
class ProxyAudit:
    """The audit of one comparison."""

    comparison: ProxyComparison
    predictors: tuple[PredictorAudit, ...]
    """AP by epochs, then losses by epochs, then what is known without training."""
    ceilings: Mapping[str, Interval95]
    """Kendall's tau of one more full training, by scope; empty where the noise is unknown."""
    ranked: tuple[str, ...]
    """Names of the candidates that short trainings are judged on."""
    other_seeds: bool
    """Whether those are compared with full trainings of other seeds, whose luck they do not share."""

    @property
    def aps(self) -> tuple[PredictorAudit, ...]:
        """The AP after each of the recorded epochs, in their order."""
        return tuple(one for one in self.predictors if one.name == AP)

    @property
    def free(self) -> tuple[PredictorAudit, ...]:
        """What is known without training."""
        return tuple(one for one in self.predictors if not one.epochs)

    @property
    def gap(self) -> float:
        """AP of the best candidate minus that of the second, as trained to the end."""
        means = sorted((fmean(one.full) for one in self.comparison.candidates), reverse=True)
        return means[0] - means[1] if len(means) > 1 else 0.0


def audit(comparison: ProxyComparison, seed: int = 0) -> ProxyAudit:
    """Return the rank correlations of every predictor with full training, and their ceilings.

    A short training is that of a candidate's first seed. Where at least half of the candidates, and five, were trained whole
    with other seeds too, it is compared with the mean of those; else with the mean of all, its own among them.
    """
    rng = np.random.default_rng(seed)
    candidates = list(comparison.candidates)
    if len(candidates) > MOST_CANDIDATES:
        candidates = [candidates[i] for i in sorted(rng.choice(len(candidates), MOST_CANDIDATES, replace=False))]
    if len(candidates) < FEW:
        return ProxyAudit(comparison=comparison, predictors=(), ceilings={}, ranked=(), other_seeds=False)
    whole = target = _Target(candidates, [one.full for one in candidates], comparison.cost, rng)
    again = [one for one in candidates if len(one.full) > 1] if comparison.within else []
    if other_seeds := len(again) >= max(FEW, len(candidates) / 2):
        target = _Target(again, [one.full[1:] for one in again], comparison.cost, rng)
    found = []
    for epochs in _spread_out(_epochs(target.candidates, comparison)):
        values = np.array([one.short[0].aps[epochs] for one in target.candidates])
        floor = noise_floor([run.aps[epochs] for run in one.short if epochs in run.aps] for one in candidates)
        seen = floor or comparison.noise
        moves = rank_moves(values, target.full, target.runs, seen, comparison.noise, target.log_cost, rng)
        found.append(target.predictor(AP, epochs, values, floor, moves))
    found += [
        target.predictor(LOSS, epochs, -np.array([one.short[0].loss_sums[epochs] for one in target.candidates]))
        for epochs in _spread_out(_loss_epochs(target.candidates, comparison))
    ]
    for name in [name for name in candidates[0].free if all(name in one.free for one in candidates)]:
        values = np.array([one.free[name] for one in candidates])
        if len(set(values.tolist())) > 1:
            found.append(whole.predictor(name, 0, values))
    return ProxyAudit(
        comparison=comparison,
        predictors=tuple(found),
        ceilings=target.ceilings(comparison.noise),
        ranked=tuple(one.name for one in target.candidates),
        other_seeds=other_seeds,
    )


class _Target:
    """Full training of candidates, which predictors are compared with."""

    def __init__(
        self,
        candidates: Sequence[AuditedCandidate],
        full: Sequence[Sequence[float]],
        cost: str,
        rng: np.random.Generator,
    ) -> None:
        self.candidates = candidates
        self._cost = cost
        self.full = np.array([fmean(one) for one in full])
        self.runs = np.array([len(one) for one in full])
        self._rng = rng
        self._counts = resamples(len(full), rng)
        self._half = better_half(self.full, self._counts)
        costs = np.array([one.free.get(cost, 0.0) for one in candidates])
        varied = len(costs) >= FEW and costs.min() > 0 and costs.max() > _SAME_COST * costs.min()
        self.log_cost = np.log(costs) if varied else None

    def predictor(
        self, name: str, epochs: int, values: Reals, noise: NoiseFloor | None = None, moves: RankMoves | None = None
    ) -> PredictorAudit:
        over = {ALL: correlation(values, self.full, self._counts), HALF: correlation(values, self.full, self._half)}
        if self.log_cost is not None and name != self._cost:
            rest = _beyond(values, self.log_cost)
            over[BEYOND_COST] = correlation(rest, _beyond(self.full, self.log_cost), self._counts)
        kept = {scope: one for scope, one in over.items() if one is not None}
        sign = -1 if not epochs and ALL in kept and kept[ALL].kendall.value < 0 else 1
        regret = float(self.full.max() - self.full[int((sign * values).argmax())])
        return PredictorAudit(name=name, epochs=epochs, over=kept, regret=regret, noise=noise, moves=moves)

    def ceilings(self, noise: NoiseFloor | None) -> dict[str, Interval95]:
        if noise is None:
            return {}
        found = dict(zip((ALL, HALF), ceilings(self.full, self.runs, noise, self._rng), strict=True))
        if self.log_cost is not None:
            found[BEYOND_COST] = ceilings(_beyond(self.full, self.log_cost), self.runs, noise, self._rng)[0]
        return {scope: one for scope, one in found.items() if one is not None}


def _beyond(values: Reals, log_cost: Reals) -> Reals:
    """Return what is left of the values beyond their line over the logarithm of the cost."""
    return np.asarray(values - np.polyval(np.polyfit(log_cost, values, 1), log_cost))


def _epochs(candidates: Sequence[AuditedCandidate], about: ProxyComparison) -> list[int]:
    """Return the epochs at which every candidate has an AP, below the last where that is full training itself."""
    shared = set.intersection(*(set(one.short[0].aps) for one in candidates))
    return sorted(epochs for epochs in shared if epochs < about.epochs or not about.within)


def _loss_epochs(candidates: Sequence[AuditedCandidate], about: ProxyComparison) -> list[int]:
    shared = set.intersection(*(set(one.short[0].loss_sums) for one in candidates))
    # At the end, too: where there is the AP already, the losses may tell more.
    return sorted(epochs for epochs in shared if epochs <= about.epochs or not about.within)


def _spread_out(epochs: Sequence[int]) -> list[int]:
    if len(epochs) <= MOST_EPOCHS:
        return list(epochs)
    places = np.unique(np.geomspace(1, len(epochs), MOST_EPOCHS).round().astype(int)) - 1
    return [epochs[place] for place in places]
