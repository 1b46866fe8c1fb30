"""Observations: the objective values of each trial that a sampler sees, also of a trial that was stopped early.

The final AP of a stopped trial is estimated; `gain_slope` serves both this and successive halving. Samplers with a model of AP
observe every rung instead (`final_ap`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from statistics import fmean, median, pvariance
from typing import NamedTuple

from scalesearch.records.row import Row
from scalesearch.records.trials import Trial

_DIGITS = 12
"""Significant digits of observed values: a mean or a logarithm differs between processors in the sixteenth."""
_DOUBT = 2.0
"""Weight of slope 0, as a number of complete trials: it shrinks the slope estimated from the first few."""


def observed_values(
    trials: Sequence[Trial], objectives: Sequence[str], last: int = 0
) -> list[tuple[Trial, list[float]]]:
    """Return the trials that a sampler sees, in the order given, each with its objective values.

    A complete trial has its own values. A stopped one has its costs and an estimate of its final AP: its last AP, plus
    the complete trials' median gain from that epoch to the end (0 where there is none), plus `gain_slope` times its
    difference in log MACs from theirs. A failed trial is left out: inside the band failures are rare, and a bad value
    would drive the sampler off a region for what may be a lost worker.

    Only the latest `last` are returned where it is above 0. Values are rounded to 12 significant digits, so that equal
    rows give equal values on every processor.
    """
    known = [trial for trial in trials if not trial.failed]
    gains = _gains(known) if any(trial.stopped for trial in known) else {}
    found = []
    for trial in known[-last:]:
        if trial.complete:
            found.append((trial, [_rounded(value) for value in trial.values(objectives)]))
        elif trial.stopped:
            ap = fmean(
                _expected(row, macs, gains.get((i, row.epochs_done)))
                for i, (row, macs) in enumerate(zip(trial.rows, trial.log_macs, strict=True))
            )
            found.append((trial, [_rounded(ap if name == "ap" else trial.value(name)) for name in objectives]))
    return found


@lru_cache(maxsize=100_000)  # the same numbers are rounded again for every proposal
def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS - 1}e}")


def gain_slope(macs: Sequence[float], gains: Sequence[float], spread: float) -> float:
    """Return the slope of the AP gained from a rung to the end over log MACs; 0 where it is unknown.

    Cheap detectors learn fast and lead at a low rung (docs/rehearsal.md). `macs` are the log MACs of complete
    detectors and `gains` their gains; `spread` is the variance of log MACs over all candidates. The slope estimated
    from few is shrunk towards 0.
    """
    middle, mean = fmean(macs), fmean(gains)
    weight = sum((x - middle) ** 2 for x in macs) + _DOUBT * spread
    return sum((x - middle) * (gain - mean) for x, gain in zip(macs, gains, strict=True)) / weight if weight else 0.0


class _Gain(NamedTuple):
    """Gain in AP from one epoch to the end."""

    median: float
    slope: float
    macs: float
    """Mean log MACs of the detectors with a known gain."""


def _expected(row: Row, macs: float, gain: _Gain | None) -> float:
    """Return the final AP of a member, or its estimate."""
    ap = row.final["ap"] or 0.0
    if row.state == "complete" or gain is None:
        return ap
    return ap + gain.median + gain.slope * (macs - gain.macs)


def _gains(trials: Sequence[Trial]) -> dict[tuple[int, int], _Gain]:
    """Return by (member, epoch) the gain from there to the end of the complete trials evaluated there."""
    known: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    sizes: dict[int, list[float]] = defaultdict(list)
    for trial in trials:
        for i, (row, macs) in enumerate(zip(trial.rows, trial.log_macs, strict=True)):
            sizes[i].append(macs)
            for epoch, numbers in row.curve if trial.complete else ():
                if (ap := numbers.get("ap")) is not None:
                    known[i, epoch].append((macs, (row.final["ap"] or 0.0) - ap))
    spread = {i: pvariance(found) for i, found in sizes.items()}
    return {(i, epoch): _gain(found, spread[i]) for (i, epoch), found in known.items()}


def _gain(found: Sequence[tuple[float, float]], spread: float) -> _Gain:
    macs, gains = zip(*found, strict=True)
    return _Gain(median(gains), gain_slope(macs, gains, spread), fmean(macs))
