"""The driver of a study: it alone proposes, promotes and writes rows; an executor trains.

A training that has a row is not run again, so the same command continues an interrupted study.
"""

from __future__ import annotations

import logging
import shutil
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from scalesearch.arch.spec import DetectorSpec
from scalesearch.execute.executor import Executor
from scalesearch.io.progress import relabelled
from scalesearch.plan.ladder import epochs_at
from scalesearch.plan.sections import WinnersPlan
from scalesearch.records.trials import Trial
from scalesearch.space.band import EmptyBandError
from scalesearch.space.space import Point
from scalesearch.study.derive import Taken, Turn, derive_proposal, derive_repeat, repeat_told, repeats_by_turn
from scalesearch.study.jobs import TASKS, Job, final_jobs, repeat_jobs, winner_jobs
from scalesearch.study.pending import PendingJobs
from scalesearch.study.propose import promotion_gains, reads_results
from scalesearch.study.study import Study
from scalesearch.study.study_progress import StudyProgress
from scalesearch.study.successive_halving import promotion
from scalesearch.study.told import told_text

logger = logging.getLogger(__name__)


def run_study(study: Study, executor: Executor) -> None:
    """Run the search with its repeats, then train winners, then baselines; every row is on disk when this returns.

    Raises TaskError, and ValueError where the first trainings all fail. KeyboardInterrupt passes through. Rows written
    so far stay.
    """
    progress = StudyProgress(study, executor.processes)
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

    A candidate is proposed whenever a worker is free, and is told the results that are there; those in training are known
    as such. Its row says what it was told, so that the same proposal can be derived from the rows. With one worker a study
    is the same wherever it was interrupted.
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
    """Train the plan's number of repeats; each is chosen from the results that are there when a worker is free."""
    plan = study.plan
    given = repeats_by_turn([*study.folder.rows(), *study.folder.sent()])
    for turn, one in sorted(given.items()):
        _again(study, out, workers, turn, one)
    for turn in (turn for turn in range(plan.repeated) if turn not in given):
        while out.count >= workers:
            out.collect_some()
        trials, running = study.trials(), out.repeating()
        told = repeat_told(trials, (at for at, one in given.items() if one.again not in running))
        again = derive_repeat(plan, turn, told, trials, given)
        if again is None:
            break
        given[turn] = Turn(again, told)
        _again(study, out, workers, turn, given[turn])
    out.collect()


def _again(study: Study, out: PendingJobs, workers: int, turn: int, chosen: Turn) -> None:
    """Train a candidate again, unless that is done."""
    ordinal, seed = chosen.again
    trial = next(trial for trial in study.trials() if trial.ordinal == ordinal)
    for job in repeat_jobs(study, trial, seed, chosen.told, turn):
        while out.count >= workers:
            out.collect_some()
        out.send(job)


def _tell_outside(study: Study) -> None:
    """Say how many trials went to candidates that were measured outside the band."""
    found = study.trials()
    if outside := sum(any(row.outside for row in trial.rows) for trial in found):
        logger.warning(
            f"{outside} of {len(found)} trials went to candidates that were predicted inside the band but measured "
            "outside it, and were not trained; trials may be raised to make up for them"
        )


class _Steps:
    """Decides the next step of a search from the trials so far, and remembers whether the band is exhausted."""

    def __init__(self, study: Study, workers: int) -> None:
        self._study, self._workers = study, workers
        self._rungs = epochs_at(study.plan.ladder, study.plan.recipe.epochs)
        self._used_up = False
        self._taken: dict[int, Taken] = {}
        """All proposed candidates, by ordinal."""
        self._done: set[int] = set()
        self._first = 0
        """First ordinal that was neither done nor in training at the last call; all below it are proposed."""
        rows = [*study.folder.sent(), *study.folder.rows()]
        self._begun = {row.ordinal: row for row in rows if row.kind == "search" and row.told is not None}
        """Candidates that were proposed before an interruption; of those in training, some members may have rows."""

    def next(self, done: list[Trial], heading: Mapping[int, int]) -> list[Job]:
        """Return the jobs to send now; none where one in flight must finish first, or all is done."""
        if len(done) != len(self._done):
            new = [trial for trial in done if trial.ordinal not in self._done]
            self._taken |= {trial.ordinal: Taken(trial.key, trial.point) for trial in new}
            self._done |= {trial.ordinal for trial in new}
        while self._first in self._done or self._first in heading:
            self._first += 1
        ordinal = self._first
        more = ordinal < self._study.plan.candidates and not self._used_up
        if found := self._promoted(done, heading, no_more=not more):
            return found
        return self._proposed(ordinal, done) or self.next(done, heading) if more else []

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
            gains=promotion_gains(self._study.band, plan.sampler, plan.objectives, done),
        )
        if found is None:
            return []
        trial = found.trial
        # Built anew from the point, as in `winner_jobs`.
        members = self._study.unit.solve(trial.point).members
        told = trial.rows[0].told
        return list(self._jobs(trial.ordinal, members, trial.proposed_by, told, trial.point, found.rung))

    def _proposed(self, ordinal: int, done: list[Trial]) -> list[Job]:
        plan, band = self._study.plan, self._study.band
        if begun := self._begun.get(ordinal):
            candidate = self._study.unit.solve(begun.point)
            proposed_by, told = begun.proposed_by, begun.told
        else:
            # With one worker a candidate whose row was removed is proposed as it was, whatever came after it.
            known = done[: bisect_left(done, ordinal, key=_ordinal)] if self._workers == 1 else done
            told = told_text(known, self._rungs) if reads_results(band, plan.sampler, ordinal) else ()
            try:
                proposal = derive_proposal(plan, band, ordinal, told, known, self._taken)
            except EmptyBandError as used_up:
                logger.warning(f"no more candidates after {ordinal}: {used_up}")
                self._used_up = True
                return []
            candidate, proposed_by = proposal.candidate, proposal.proposed_by
        self._taken[ordinal] = Taken(candidate.key, candidate.point)
        return list(self._jobs(ordinal, candidate.members, proposed_by, told, candidate.point, 0))

    def _jobs(
        self,
        ordinal: int,
        members: Sequence[DetectorSpec],
        proposed_by: str,
        told: tuple[str, ...] | None,
        point: Point,
        rung: int,
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
                told=told,
                point=dict(point),
                label=label + (f", rung {rung + 1}/{top + 1}" if top else ""),
            )


def _ordinal(trial: Trial) -> int:
    return trial.ordinal
