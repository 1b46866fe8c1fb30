"""What a sampler is told of each trial: one number an objective, also of a trial that was stopped early."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import fmean, median

from scalesearch.records.row import Row
from scalesearch.records.trials import Trial


def told_values(trials: Sequence[Trial], objectives: Sequence[str]) -> list[tuple[Trial, list[float]]]:
    """The trials that a sampler hears of, in the order given, each with its objectives.

    A complete trial tells its own. A stopped one, trained to a lower rung only, tells its costs and the AP that it
    can be expected to end at: its last one plus the median gain, from that epoch to the end, of those that went on
    (0 where none did). A failed one is not told: inside the band failing is rare, and as a bad value it would drive
    the sampler off a region for what may be a lost worker.
    """
    gains = _median_gains([trial for trial in trials if trial.complete])
    found = []
    for trial in trials:
        if trial.complete:
            found.append((trial, trial.values(objectives)))
        elif trial.stopped:
            ap = fmean(_expected(row, gains.get((i, row.epochs_done), 0.0)) for i, row in enumerate(trial.rows))
            found.append((trial, [ap if name == "ap" else trial.value(name) for name in objectives]))
    return found


def _expected(row: Row, gain: float) -> float:
    """The AP that a member ended at, or can be expected to."""
    return (row.final["ap"] or 0.0) + (0.0 if row.state == "complete" else gain)


def _median_gains(complete: Sequence[Trial]) -> dict[tuple[int, int], float]:
    """By member and epoch: the AP gained from there to the end, the median over complete trials evaluated there."""
    gains: dict[tuple[int, int], list[float]] = defaultdict(list)
    for trial in complete:
        for i, row in enumerate(trial.rows):
            for epoch, numbers in row.curve:
                if (ap := numbers.get("ap")) is not None:
                    gains[i, epoch].append((row.final["ap"] or 0.0) - ap)
    return {key: median(found) for key, found in gains.items()}
