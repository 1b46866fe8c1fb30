"""The driver of a study: it alone proposes, promotes and writes rows; an executor trains.

A training that has a row is not run again, so the same command continues an interrupted study.
"""

from __future__ import annotations

import logging
import shutil
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from scalesearch.arch.spec import DetectorSpec
from scalesearch.execute.executor import Executor
from scalesearch.io.progress import relabelled
from scalesearch.plan.ladder import epochs_at
from scalesearch.plan.sections import WinnersPlan
from scalesearch.records.trials import Trial
from scalesearch.space.band import EmptyBandError
from scalesearch.space.space import Point
from scalesearch.study.jobs import TASKS, Job, final_jobs, repeat_jobs, winner_jobs
from scalesearch.study.pending import PendingJobs
from scalesearch.study.propose import propose
from scalesearch.study.repeats import Again, next_repeat
from scalesearch.study.study import Study
from scalesearch.study.study_progress import StudyProgress
from scalesearch.study.successive_halving import promotion

logger = logging.getLogger(__name__)


def run_study(study: Study, executor: Executor) -> None:
    """Run the search with its repeats, then train winners, then baselines; every row is on disk when this returns.

    Raises TaskError, and ValueError where the first trainings all fail. KeyboardInterrupt passes through. Rows written
    so far stay.
    """
    progress = StudyProgress(study, executor.workers)
    with relabelled(progress.label):
        _search(study, executor, progress)
        out = PendingJobs(study, executor, progress)
        for job in final_jobs(study):
            out.send(job)
        out.collect()


def train_winners(study: Study, executor: Executor, winners: WinnersPlan, name: str) -> None:
    """Train the best of a finished search by another recipe than the plan's; `name` is that recipe's.

    The rows are kept beside those of the plan's own winners. Raises as `run_study`.
    """
    out = PendingJobs(study, executor)
    for job in winner_jobs(study, winners, name):
        out.send(job)
    out.collect()


def search(study: Study, executor: Executor) -> None:
    """Propose and train until the plan's trials are done or the band is exhausted, and nobody can be promoted any more.

    A proposal sees exactly the trials at least as many ordinals back as there are workers, whether or not later ones
    are done. So a study is the same however its trainings overlap and wherever it was interrupted. On a ladder this
    holds for one worker; with several, promotions depend on which trials are done.
    """
    _search(study, executor)


def _search(study: Study, executor: Executor, progress: StudyProgress | None = None) -> None:
    out = PendingJobs(study, executor, progress)
    steps = _Steps(study, executor.workers)
    while True:
        done = study.trials()
        if study.ledger:
            study.ledger.keep(done)
        jobs = steps.next(done, out.heading()) if out.count < executor.workers else []
        for job in jobs:
            out.send(job)
        if not jobs and not out.count:
            break
        if not jobs:
            out.collect_some()
    _repeat(study, out, executor.workers)
    if study.ledger:
        study.ledger.keep(study.trials(), over=True)
    _tell_outside(study)
    # Checkpoints of trials that were not promoted, and of tasks begun by an interrupted run with other workers.
    shutil.rmtree(study.folder.path / TASKS, ignore_errors=True)


def _repeat(study: Study, out: PendingJobs, workers: int) -> None:
    """Train the plan's number of repeats; each is chosen from the results of those at least as many back as workers."""
    plan = study.plan
    sent: list[Again] = []
    while len(sent) < plan.repeated:
        known, pending = sent[: len(sent) + 1 - workers], sent[max(0, len(sent) + 1 - workers) :]
        while out.repeating() & set(known) or out.count >= workers:
            out.collect_some()
        trials = study.trials()
        chosen = next_repeat(trials, plan.objectives, plan.seed, known, pending)
        if chosen is None:
            return
        ordinal, seed = chosen
        for job in repeat_jobs(study, next(trial for trial in trials if trial.ordinal == ordinal), seed):
            out.send(job)
        sent.append(chosen)
    out.collect()


def _tell_outside(study: Study) -> None:
    """Say how many trials went to candidates that were measured outside the band."""
    found = study.trials()
    if outside := sum(any(row.outside for row in trial.rows) for trial in found):
        logger.warning(
            f"{outside} of {len(found)} trials went to candidates that were predicted inside the band but measured "
            "outside it, and were not trained; trials may be raised to make up for them"
        )


class _Taken(NamedTuple):
    """A candidate that has been proposed."""

    key: tuple[str, ...]
    point: Point


class _Steps:
    """Decides the next step of a search from the trials so far, and remembers whether the band is exhausted."""

    def __init__(self, study: Study, lag: int) -> None:
        self._study, self._lag = study, lag
        self._rungs = epochs_at(study.plan.ladder, study.plan.recipe.epochs)
        self._used_up = False
        self._taken: dict[int, _Taken] = {}
        """All proposed candidates, by ordinal."""
        self._done: set[int] = set()
        self._first = 0
        """First ordinal that was neither done nor in training at the last call; all below it are proposed."""

    def next(self, done: list[Trial], heading: Mapping[int, int]) -> list[Job]:
        """Return the jobs to send now; none where one in flight must finish first, or all is done."""
        if len(done) != len(self._done):
            new = (trial for trial in done if trial.ordinal not in self._done)
            self._taken |= {trial.ordinal: _Taken(trial.key, trial.point) for trial in new}
            self._done = {trial.ordinal for trial in done}
        while self._first in self._done or self._first in heading:
            self._first += 1
        ordinal = self._first
        more = ordinal < self._study.plan.candidates and not self._used_up
        if found := self._promoted(done, heading, no_more=not more):
            return found
        if not more or any(out <= ordinal - self._lag for out, rung in heading.items() if rung == 0):
            return []
        return self._proposed(ordinal, done) or self.next(done, heading)

    def _promoted(self, done: list[Trial], heading: Mapping[int, int], *, no_more: bool) -> list[Job]:
        plan = self._study.plan
        if plan.ladder is None:
            return []
        found = promotion(
            done,
            heading,
            rungs=self._rungs,
            keep=plan.ladder.keep,
            objectives=plan.objectives,
            no_more=no_more,
            least=plan.winners.top,
        )
        if found is None:
            return []
        trial = found.trial
        # Built anew from the point, as in `winner_jobs`.
        members = self._study.unit.solve(trial.point).members
        return list(self._jobs(trial.ordinal, members, trial.proposed_by, trial.point, found.rung))

    def _proposed(self, ordinal: int, done: list[Trial]) -> list[Job]:
        plan = self._study.plan
        earlier = done[: bisect_right(done, ordinal - self._lag, key=lambda trial: trial.ordinal)]
        # On a ladder, later trials of an interrupted study may have been proposed from other observations.
        every = plan.ladder is not None or len(self._taken) == ordinal
        taken = {at: one for at, one in self._taken.items() if every or at < ordinal}
        observed = {trial.ordinal for trial in earlier}
        try:
            proposal = propose(
                self._study.band,
                plan.sampler,
                plan.objectives,
                plan.seed,
                ordinal,
                earlier,
                taken={one.key for one in taken.values()},
                pending=[one.point for at, one in sorted(taken.items()) if at not in observed],
            )
        except EmptyBandError as used_up:
            logger.warning(f"no more candidates after {ordinal}: {used_up}")
            self._used_up = True
            return []
        candidate = proposal.candidate
        self._taken[ordinal] = _Taken(candidate.key, candidate.point)
        return list(self._jobs(ordinal, candidate.members, proposal.proposed_by, candidate.point, 0))

    def _jobs(
        self, ordinal: int, members: Sequence[DetectorSpec], proposed_by: str, point: Point, rung: int
    ) -> Iterator[Job]:
        """Yield a job for each member of a candidate, to this rung."""
        plan, top = self._study.plan, len(self._rungs) - 1
        family = len(members) > 1
        for i, spec in enumerate(members):
            label = f"trial {ordinal + 1}/{plan.candidates}" + (f", member {i + 1}/{len(members)}" if family else "")
            yield Job(
                kind="search",
                spec=spec,
                recipe=plan.recipe,
                seed=plan.seed,
                rung=rung,
                to_epoch=self._rungs[rung],
                fidelity=plan.ladder.rungs[rung] if plan.ladder and rung < top else None,
                ordinal=ordinal,
                member=i if family else None,
                proposed_by=proposed_by,
                point=dict(point),
                label=label + (f", rung {rung + 1}/{top + 1}" if top else ""),
            )
