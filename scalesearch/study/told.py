"""What a proposal was told, as it stands in its row: so that anyone can derive the proposal from the rows again.

Trainings end in any order, and a row changes when its candidate climbs the ladder. So a row names, for each rung, the
candidates whose result there was known when it was proposed. Those before it that it was not told were in training.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace

from scalesearch.records.ordinals import Ordinals, ordinals_text
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial

ALREADY = "known already"
"""Reason of a row that is a copy of an equal training."""


def told_text(trials: Sequence[Trial], rungs: Sequence[int]) -> tuple[str, ...]:
    """Return for each rung, the lowest first, the ordinals of the trials (given in order) whose result there is known.

    `rungs` are the epochs done at each. A trial that has ended in any way counts at all of them.
    """
    levels = [(trial.ordinal, _level(trial, rungs)) for trial in trials]
    return tuple(ordinals_text(ordinal for ordinal, level in levels if level >= rung) for rung in range(len(rungs)))


def as_told(trials: Sequence[Trial], told: Sequence[str], rungs: Sequence[int]) -> list[Trial]:
    """Return the trials named by `told`, each as it was at the highest rung that is told of it.

    Raises ValueError where `told` names a result that is not among `trials`.
    """
    sets, found, left = [Ordinals(text) for text in told], [], [0] * len(told)
    for trial in trials:
        level = next((i for i in reversed(range(len(sets))) if trial.ordinal in sets[i]), -1)
        if level >= 0 and level <= _level(trial, rungs):
            found.append(_at(trial, level, rungs))
            for rung in range(level + 1):
                left[rung] += 1
    for rung, (known, count) in enumerate(zip(sets, left, strict=True)):
        if len(known) != count:
            raise ValueError(f"{len(known)} results at rung {rung + 1} were told, but the rows have {count} of them")
    return found


def copied_at(epochs: int, whole: int) -> str:
    """Return the reason of a copy made at `epochs` of `whole`: a lower rung is named, as the results are of the top."""
    return ALREADY if epochs == whole else f"{ALREADY} after {epochs} epochs"


def _level(trial: Trial, rungs: Sequence[int]) -> int:
    """Return the highest rung at which the trial's result is known."""
    if trial.failed or trial.complete:
        return len(rungs) - 1
    return max(0, bisect_right(rungs, trial.epochs_done) - 1)


def _at(trial: Trial, level: int, rungs: Sequence[int]) -> Trial:
    """Return the trial as it was at a rung."""
    if level == len(rungs) - 1:
        return trial
    rows = tuple(_row_at(row, rungs[level]) for row in trial.rows)
    return trial if all(a is b for a, b in zip(rows, trial.rows, strict=True)) else replace(trial, rows=rows)


def _row_at(row: Row, epochs: int) -> Row:
    """Return the row as it was after `epochs`, without the fields that no proposal reads."""
    copied = row.reason.removeprefix(f"{ALREADY} after ").removesuffix(" epochs")
    if (row.epochs_done == epochs and row.state != "failed") or (copied.isdecimal() and int(copied) <= epochs):
        return row
    curve = tuple(point for point in row.curve if point[0] <= epochs)
    final = curve[-1][1] if curve else {}
    return replace(row, state="stopped", reason="", epochs_done=epochs, curve=curve, final=final)
