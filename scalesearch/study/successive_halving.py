"""Who goes on from a rung of the ladder: asynchronous successive halving over several objectives. Pure functions.

As MO-ASHA (Schmucker et al. 2021) a candidate is promoted as soon as it is among the best share of those that have
reached its rung, ranked by non-dominated sorting. Within a rank the one comes first that adds most hypervolume, measured
from the worst AP seen at the rung: a cost is known before any training, so that the cheapest candidate would else be
promoted at every rung however little it has learned.

Two things are not MO-ASHA's, both from docs/rehearsal.md. No more than the share goes on: a sampler that gets better
would else push its later candidates past the earlier ones that have gone on already, and a ladder would cost what nobody
asked for. And cheap detectors learn fast, so that at a low rung they lead: what is ranked is the AP that can be expected
at the end, with the gain from here on learned, as a line over the logarithm of the cost, from those that came to the end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from scalesearch.records.hypervolume import Points, first_by_gain
from scalesearch.records.pareto import UP
from scalesearch.records.trials import Trial
from scalesearch.study.observations import gain_slope

_MARGIN = 0.1
"""Of a cost's range: how far the reference point lies behind the dearest candidate, which else would add nothing."""


class Promotion(NamedTuple):
    """The trial that goes on, and the rung that it is trained to."""

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
) -> Promotion | None:
    """The next to go on, from the highest rung that has one; None where nobody may.

    Args:
        trials: all with a row, by ordinal.
        heading: the rung that each trial in training is trained to, by ordinal; those are not promoted.
        rungs: epochs done at each rung, the top last.
        keep: share of a rung's trials that goes on, rounded down while others may still come.
        no_more: whether no candidate will be proposed any more. A rung that nobody can reach any more is then rounded
            up, and lets on at least `least`.
    """

    def best(rung: int, last: bool) -> Promotion | None:
        here = [trial for trial in trials if not trial.failed and rungs[rung] in trial.aps]
        count = max(math.ceil(len(here) * keep), least) if last else math.floor(len(here) * keep)
        if sum(trial.epochs_done > rungs[rung] or heading.get(trial.ordinal, 0) > rung for trial in here) >= count:
            return None
        if not here:
            return None
        found = first_by_gain(
            *_scaled(here, rungs[rung], objectives),
            count,
            lambda i: here[i].ordinal not in heading and here[i].epochs_done < rungs[rung + 1],
        )
        return None if found is None else Promotion(here[found], rung + 1)

    below_top = range(len(rungs) - 1)
    found = next(filter(None, (best(rung, False) for rung in reversed(below_top))), None)
    if found or not no_more:
        return found
    # From below, so that a rung is closed only when nobody can come up to it any more.
    for rung in below_top:
        if any(at <= rung for at in heading.values()):
            return None
        if found := best(rung, True):
            return found
    return None


def _scaled(trials: Sequence[Trial], epochs: int, objectives: Sequence[str]) -> tuple[Points, Points]:
    """[N, M] in 0..1, less being better, costs by their logarithm; and the reference point [M]."""
    columns, reference = [], []
    for name in objectives:
        if name in UP:
            values = -_expected(trials, epochs)
        else:
            values = np.log([max(trial.value(name), 1e-12) for trial in trials])
        low, high = values.min(), values.max()
        # Rounded: equal costs have logarithms that differ in their last bits by the place in the array.
        columns.append(((values - low) / (high - low)).round(12) if high > low else np.zeros(len(values)))
        reference.append((1.0 if high > low else 0.0) + (0.0 if name in UP and high > low else _MARGIN))
    return np.stack(columns, axis=1), np.array(reference)


def _expected(trials: Sequence[Trial], epochs: int) -> Points:
    """AP at the end that each can expect [N], but for a constant that all have in common."""
    here = np.array([trial.ap_at(epochs) or 0.0 for trial in trials])
    size = np.log([max(trial.value("macs"), 1.0) for trial in trials])
    ended = [i for i, trial in enumerate(trials) if trial.complete]
    if not ended:
        return here
    gains = [trials[i].value("ap") - float(here[i]) for i in ended]
    slope = gain_slope([float(size[i]) for i in ended], gains, float(size.var()))
    return np.asarray(here + slope * (size - size.mean()), dtype=np.float64)
