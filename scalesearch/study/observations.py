"""What a sampler is told of each trial: one number an objective, also of a trial that was stopped early.

And what both a sampler and the ladder want to know of one that has not come to its end: where it can be expected to.
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
"""Significant digits of what is told: a mean or a logarithm differs between processors in the sixteenth."""
_DOUBT = 2.0
"""Trials that came to their end which speak for no slope at all: the first few say little."""


def observed_values(trials: Sequence[Trial], objectives: Sequence[str]) -> list[tuple[Trial, list[float]]]:
    """The trials that a sampler hears of, in the order given, each with its objectives.

    A complete trial tells its own. A stopped one, trained to a lower rung only, tells its costs and the AP that it
    can be expected to end at: its last one plus the median gain, from that epoch to the end, of those that went on
    (0 where none did), and for what it costs more or less than they `gain_slope`. A failed one is not told: inside the
    band failing is rare, and as a bad value it would drive the sampler off a region for what may be a lost worker.

    Equal rows tell equal numbers on every processor: they are rounded to 12 significant digits.
    """
    gains = _gains([trial for trial in trials if not trial.failed]) if any(trial.stopped for trial in trials) else {}
    found = []
    for trial in trials:
        if trial.complete:
            found.append((trial, [_rounded(value) for value in trial.values(objectives)]))
        elif trial.stopped:
            ap = fmean(
                _expected(row, macs, gains.get((i, row.epochs_done)))
                for i, (row, macs) in enumerate(zip(trial.rows, trial.log_macs, strict=True))
            )
            found.append((trial, [_rounded(ap if name == "ap" else trial.value(name)) for name in objectives]))
    return found


@lru_cache(maxsize=100_000)  # each number is asked for again with every proposal
def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS - 1}e}")


def gain_slope(macs: Sequence[float], gains: Sequence[float], spread: float) -> float:
    """By how much more AP is gained from a rung to the end for each unit of log MACs; 0 where that is not known.

    Cheap detectors learn fast and lead at a low rung (docs/rehearsal.md); those that came to the end say by how much.
    `macs` are their logarithms, `spread` is the variance of that of all candidates: the slope of a few is held back.
    """
    middle, mean = fmean(macs), fmean(gains)
    weight = sum((x - middle) ** 2 for x in macs) + _DOUBT * spread
    return sum((x - middle) * (gain - mean) for x, gain in zip(macs, gains, strict=True)) / weight if weight else 0.0


class _Gain(NamedTuple):
    """From one epoch to the end."""

    median: float
    slope: float
    macs: float
    """The mean logarithm of those that it is known of."""


def _expected(row: Row, macs: float, gain: _Gain | None) -> float:
    """The AP that a member ended at, or can be expected to."""
    ap = row.final["ap"] or 0.0
    if row.state == "complete" or gain is None:
        return ap
    return ap + gain.median + gain.slope * (macs - gain.macs)


def _gains(trials: Sequence[Trial]) -> dict[tuple[int, int], _Gain]:
    """By member and epoch: what complete trials evaluated there gained from there to the end."""
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
