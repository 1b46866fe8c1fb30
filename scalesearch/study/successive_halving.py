"""Asynchronous successive halving over several objectives: the next trial to promote on the ladder. Pure functions.

As in MO-ASHA (Schmucker et al. 2021), a trial is promoted as soon as it is among the best share of those that have
reached its rung, ranked by non-dominated sorting. Within a rank, trials are ordered by the hypervolume that they add,
measured from the worst AP seen at the rung. A cost is known before training, so the cheapest candidate would otherwise
be promoted at every rung, however little it has learned.

Two things differ from MO-ASHA, both from docs/rehearsal.md. Never more than the share is promoted: a sampler that
improves would otherwise push its later candidates past those already promoted, and the ladder would exceed its cost.
And the ranking is by the expected final AP, since cheap detectors learn fast and lead at a low rung: the gain from the
rung to the end is fitted, linear in the logarithm of the cost, to the trials that are complete. A sampler with a model of AP
says itself who goes on (`PromotionGains`); how many do is the ladder's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scalesearch.records.hypervolume import first_by_gain
from scalesearch.records.pareto import UP, Points
from scalesearch.records.trials import Trial
from scalesearch.study.observations import gain_slope

_MARGIN = 0.1
"""Distance of the reference point beyond the most expensive candidate (which would else add no hypervolume), as a
share of the cost's range."""


PromotionGains = Callable[[Sequence[Trial], Sequence[Trial]], list[float] | None]
"""Expected improvement by each trial that waits at a rung, given those ahead of it; None where there is nothing to tell."""


class Promotion(NamedTuple):
    """A trial to promote, and the rung that it is trained to."""

    trial: Trial
    rung: int


def promotion(
    trials: Sequence[Trial],
    heading: Mapping[int, int],
    *,
    rungs: Sequence[int],
    keep: float,
    objectives: Sequence[str],
    no_more: bool,
    least: int,
    gains: PromotionGains | None = None,
) -> Promotion | None:
    """Return the next promotion, from the highest rung that has one; None where no trial may be promoted.

    Args:
        trials: all trials with a row, by ordinal.
        heading: by ordinal, the rung that each trial in flight is trained to; these are not promoted.
        rungs: epochs done at each rung, the top last.
        keep: share of a rung's trials to promote, rounded down while more trials may reach the rung.
        no_more: whether no more candidates will be proposed. At a rung that no trial can reach any more, the share is
            then rounded up and at least `least` trials are promoted.
        gains: what a model expects of those that wait at a rung, given those ahead. It chooses in place of the rank.
    """

    def best(rung: int, last: bool) -> Promotion | None:
        here = [trial for trial in trials if not trial.failed and rungs[rung] in trial.aps]
        count = max(math.ceil(len(here) * keep), least) if last else math.floor(len(here) * keep)
        if sum(trial.epochs_done > rungs[rung] or heading.get(trial.ordinal, 0) > rung for trial in here) >= count:
            return None
        if not here:
            return None

        def waits(i: int) -> bool:
            return here[i].ordinal not in heading and here[i].epochs_done < rungs[rung + 1]

        if gains and (waiting := [i for i in range(len(here)) if waits(i)]):
            ahead = [trial for i, trial in enumerate(here) if i not in set(waiting)]
            if (expected := gains([here[i] for i in waiting], ahead)) is not None:
                return Promotion(here[waiting[expected.index(max(expected))]], rung + 1)
        found = _first(here, rungs[rung], objectives, count, waits)
        return None if found is None else Promotion(here[found], rung + 1)

    below_top = range(len(rungs) - 1)
    found = next(filter(None, (best(rung, False) for rung in reversed(below_top))), None)
    if found or not no_more:
        return found
    # From the lowest rung up: a rung is closed only when no trial can reach it any more.
    for rung in below_top:
        if any(at <= rung for at in heading.values()):
            return None
        if found := best(rung, True):
            return found
    return None


def _first(
    trials: Sequence[Trial], epochs: int, objectives: Sequence[str], count: int, wanted: Callable[[int], bool]
) -> int | None:
    """Return the position of the first wanted trial among the best `count` at the rung of `epochs`, or None."""
    return first_by_gain(*_scaled(trials, epochs, objectives), count, wanted)


def _scaled(trials: Sequence[Trial], epochs: int, objectives: Sequence[str]) -> tuple[Points, Points]:
    """Return the objectives [N, M] in 0..1, minimised, costs as logarithms, and the reference point [M]."""
    columns, reference = [], []
    for name in objectives:
        if name in UP:
            values = -_expected(trials, epochs)
        else:
            values = np.log([max(trial.value(name), 1e-12) for trial in trials])
        low, high = values.min(), values.max()
        # Rounded: the logarithms of equal costs differ in their last bits, depending on the position in the array.
        columns.append(((values - low) / (high - low)).round(12) if high > low else np.zeros(len(values)))
        reference.append((1.0 if high > low else 0.0) + (0.0 if name in UP and high > low else _MARGIN))
    return np.stack(columns, axis=1), np.array(reference)


def _expected(trials: Sequence[Trial], epochs: int) -> Points:
    """Return the expected final AP [N], up to a constant common to all."""
    here = np.array([trial.ap_at(epochs) or 0.0 for trial in trials])
    size = np.log([max(trial.value("macs"), 1.0) for trial in trials])
    ended = [i for i, trial in enumerate(trials) if trial.complete]
    if not ended:
        return here
    gains = [trials[i].value("ap") - float(here[i]) for i in ended]
    slope = gain_slope([float(size[i]) for i in ended], gains, float(size.var()))
    return np.asarray(here + slope * (size - size.mean()), dtype=np.float64)
