"""Rehearsal of a search: the real driver on a surrogate that answers at once, measured by the surrogate's true values.

The surrogate is a synthetic landscape or a recorded table. Rows are kept in memory, and nothing is written.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Protocol

import numpy as np

from scalesearch.arch.spec import DetectorSpec
from scalesearch.execute.executor import InProcess
from scalesearch.io.logs import at_level
from scalesearch.plan.ladder import Ladder, epochs_at
from scalesearch.plan.plan import Plan
from scalesearch.plan.task import Outcome, Task
from scalesearch.records.front import best_trials
from scalesearch.records.hypervolume import hypervolume
from scalesearch.records.pareto import UP, Points
from scalesearch.records.row import Row
from scalesearch.records.row_set import RowSet
from scalesearch.records.trials import Trial
from scalesearch.rehearsal.result import FrontUpdate, Rehearsed
from scalesearch.space.band import Band
from scalesearch.space.candidates import Candidate
from scalesearch.space.enumerated import EnumeratedBand
from scalesearch.study.driver import search
from scalesearch.study.study import Provenance, Study

_SAMPLE = 2_000
"""Candidates drawn to represent a band that cannot be enumerated."""
_MARGIN = 0.1
"""Distance of the reference point beyond the most expensive candidate, as a share of the cost's range in the band."""


_Costed = tuple[Sequence[DetectorSpec], Sequence[Mapping[str, float]]]
"""The members of a candidate and the costs of each."""


class Surrogate(Protocol):
    """The results of trainings, without training."""

    def ap(self, spec: DetectorSpec, seed: int, epoch: int) -> float:
        """Return the AP of an evaluation after `epoch` epochs."""

    def seconds(self, spec: DetectorSpec, seed: int, epochs: int) -> float:
        """Return the time of `epochs` epochs."""

    def truth(self, spec: DetectorSpec) -> float:
        """Return the AP after full training without the noise of seeds, as far as it is known."""


class MemoryStore(RowSet):
    """Rows in memory; `path` cannot exist, so that nothing is ever found or removed there."""

    path = Path(os.devnull) / "rehearsal"

    def write(self, row: Row) -> None:
        """Keep the row; it replaces a row of the same name."""
        self.add(row)

    def send(self, row: Row) -> None:
        """Do nothing: a rehearsal is not continued."""

    def sent(self) -> list[Row]:
        """Return nothing."""
        return []


class Yardstick:
    """Measures the hypervolume of trials by their true values, as a share of that of the whole band."""

    def __init__(self, band: Band, surrogate: Surrogate, objectives: Sequence[str]) -> None:
        self._world, self._objectives = surrogate, tuple(objectives)
        whole = self._points([(candidate.members, candidate.costs) for candidate in _all(band)])
        low, high = whole.min(axis=0), whole.max(axis=0)
        reference = high + _MARGIN * (high - low)
        ap = [name in UP for name in objectives]
        self._references = [np.where(ap, best, reference) for best in (0.0, np.median(whole, axis=0))]
        self._whole = [hypervolume(whole, reference) for reference in self._references]

    def measure(self, found: Sequence[Trial]) -> tuple[float, float]:
        """Return the share with AP counted from 0, and with AP counted from the median of the band."""
        if not found:
            return 0.0, 0.0
        points = self._points([([row.spec for row in t.rows], [row.cost for row in t.rows]) for t in found])
        volumes = [hypervolume(points, reference) for reference in self._references]
        first, second = (mine / whole if whole else 0.0 for mine, whole in zip(volumes, self._whole, strict=True))
        return first, second

    def _points(self, items: Sequence[_Costed]) -> Points:
        """Return the objectives [N, M], all minimised; costs are logarithms."""
        return np.array([[self._value(name, specs, costs) for name in self._objectives] for specs, costs in items])

    def _value(self, name: str, specs: Sequence[DetectorSpec], costs: Sequence[Mapping[str, float]]) -> float:
        if name in UP:
            return -fmean(self._world.truth(spec) for spec in specs)
        return math.log(fmean(cost[name] for cost in costs))


def _all(band: Band) -> Sequence[Candidate]:
    if isinstance(band, EnumeratedBand):
        return band.candidates
    rng = np.random.default_rng(0)
    return [band.draw((), rng) for _ in range(_SAMPLE)]


@dataclass(frozen=True)
class _Trained:
    """One answered task."""

    task: Task
    epochs: int
    """Epochs that the task added."""
    seconds: float


class Answers:
    """Answers tasks from the surrogate and logs them in order."""

    def __init__(self, surrogate: Surrogate, rungs: Sequence[int]) -> None:
        self._world, self._rungs = surrogate, rungs
        self._done: dict[tuple[str, int], int] = {}
        self.log: list[_Trained] = []

    def __call__(self, task: Task, label: str) -> Outcome:
        spec, surrogate, seed = task.spec, self._world, task.seed
        before = self._done.get((spec.id, seed), 0)
        # Another candidate may share the detector and have reached a higher rung.
        done = self._done[spec.id, seed] = max(before, task.to_epoch)
        seconds = surrogate.seconds(spec, seed, task.to_epoch)
        added = surrogate.seconds(spec, seed, done) - (surrogate.seconds(spec, seed, before) if before else 0.0)
        self.log.append(_Trained(task, done - before, added))
        curve = [(epoch, surrogate.ap(spec, seed, epoch)) for epoch in self._rungs if epoch <= task.to_epoch]
        return Outcome(
            state="complete",
            curve=tuple((epoch, {"ap": ap}) for epoch, ap in curve),
            seconds=seconds,
            peak_memory=0,
            images_per_second=0.0,
        )


REHEARSED = Provenance(
    data="rehearsal",
    splits={"train": "rehearsed", "select": "rehearsed", "train+select": "rehearsed", "val": "rehearsed"},
    threads=1,
    machine={},
    versions={},
)


def check_rungs(ladder: Ladder | None) -> None:
    """Raise ValueError for rungs of fewer or smaller images, which no surrogate models."""
    if ladder and any(rung.images < 1 or rung.size < 1 for rung in ladder.rungs):
        raise ValueError(
            "a rehearsal takes only rungs of fewer epochs, but this ladder has rungs of fewer or smaller images; "
            "give their epochs alone, or rehearse with --no-ladder"
        )


def rehearse(plan: Plan, band: Band, surrogate: Surrogate, yardstick: Yardstick, setup: str) -> Rehearsed:
    """Run the search of `plan`, with its seed and sampler, on `surrogate`. Raises ValueError as `check_rungs`."""
    check_rungs(plan.ladder)
    plan = dataclasses.replace(plan, workers=1)
    rungs = epochs_at(plan.ladder, plan.recipe.epochs)
    store, answers = MemoryStore(), Answers(surrogate, rungs)
    study = Study(plan=plan, unit=band.unit, band=band, folder=store, provenance=REHEARSED)
    with at_level("scalesearch.study", logging.CRITICAL):  # thousands of trials are not worth a line each
        search(study, InProcess(answers))
    found = study.trials()
    return Rehearsed(
        setup=setup,
        sampler=plan.sampler.name,
        ladder=plan.ladder is not None,
        seed=plan.seed,
        trials=plan.trials,
        candidates=len(found),
        ended=sum(trial.complete for trial in found),
        full=sum(len(trial.rows) * (1 + len(trial.repeats)) for trial in found) * plan.recipe.epochs,
        epochs=sum(one.epochs for one in answers.log),
        seconds=round(sum(one.seconds for one in answers.log), 5),
        steps=tuple(_steps(study, found, answers.log, yardstick)),
    )


def _steps(study: Study, found: Sequence[Trial], log: Sequence[_Trained], yardstick: Yardstick) -> list[FrontUpdate]:
    """Return a step for each fully trained candidate that changed the front."""
    epochs, seconds = 0, 0.0
    ended: set[tuple[str, int]] = set()
    front: list[int] = []
    steps: list[FrontUpdate] = []
    for one in log:
        epochs, seconds = epochs + one.epochs, seconds + one.seconds
        if one.task.to_epoch < study.plan.recipe.epochs:
            continue
        ended.add((one.task.spec.id, one.task.seed))
        there = [_until(trial, ended) for trial in found if _trained(trial.rows) <= ended]
        chosen = best_trials(there, study.plan.objectives)
        if [trial.ordinal for trial in chosen] != front:
            front = [trial.ordinal for trial in chosen]
            steps.append(FrontUpdate(epochs, *(round(value, 5) for value in (seconds, *yardstick.measure(chosen)))))
    return steps


def _trained(rows: Sequence[Row]) -> set[tuple[str, int]]:
    return {(row.spec_id, row.seed) for row in rows}


def _until(trial: Trial, ended: set[tuple[str, int]]) -> Trial:
    """Return the trial without the repeats that had not ended."""
    return dataclasses.replace(trial, repeats=tuple(rows for rows in trial.repeats if _trained(rows) <= ended))
