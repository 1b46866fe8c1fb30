"""The one driver of a study: it alone proposes and writes rows; an executor trains.

Whatever has a row is not trained again, so the same command continues a study that was interrupted.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Literal

from scalesearch.arch.budget import human
from scalesearch.arch.space import Point, shown
from scalesearch.arch.spec import DetectorSpec
from scalesearch.plan.plan import Plan
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome, Task
from scalesearch.records.folder import StudyFolder
from scalesearch.records.row import Key, Row
from scalesearch.records.trials import Trial, best_trials, trials
from scalesearch.search.band import Band, EmptyBandError
from scalesearch.search.executor import Executor, lost
from scalesearch.search.ledger import Ledger
from scalesearch.search.propose import Proposal, propose
from scalesearch.search.unit import Unit

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What every row of one run has in common."""

    data: str
    """Fingerprint of the data."""
    splits: Mapping[str, str]
    """What `train`, `train+select`, `select` and `val` are, in words."""
    threads: int
    machine: Mapping[str, str]
    versions: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A plan with its candidates, its folder and its setting."""

    plan: Plan
    unit: Unit
    band: Band
    folder: StudyFolder
    setting: Setting

    def trials(self) -> list[Trial]:
        """The whole search trials so far, by ordinal."""
        return trials(self.folder.rows(), members=len(self.unit.budgets))


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One training that the study wants a row of."""

    kind: Literal["search", "winner", "baseline"]
    spec: DetectorSpec
    recipe: Recipe
    seed: int
    name: str = ""
    ordinal: int = 0
    member: int | None = None
    proposed_by: str = ""
    point: Point
    label: str

    @property
    def final(self) -> bool:
        """Whether it trains on everything but val and is scored on val."""
        return self.kind != "search"


def run(study: Study, executor: Executor, say: Say) -> None:
    """Search, then winners, then baselines; every row is on disk when this returns.

    Raises whatever a training raises, KeyboardInterrupt among it; rows written so far stay.
    """
    search(study, executor, say)
    out = _Out(study, executor, say)
    for job in _final_jobs(study):
        out.send(job)
    out.collect()


def search(study: Study, executor: Executor, say: Say) -> None:
    """Propose and train until the plan's number of trials is there or the band is used up.

    A proposal sees the trials that are at least as many ordinals back as there are workers, and no others, whichever
    happen to be done: so a study is the same however its trainings overlap, and wherever it was interrupted.
    """
    plan = study.plan
    ledger = Ledger(study.folder.path, plan.name, plan.objectives, study.unit.axes)
    out = _Out(study, executor, say)
    taken: dict[int, tuple[str, ...]] = {}
    for ordinal in range(plan.trials):
        out.collect(up_to=ordinal - executor.workers)
        done = {trial.ordinal: trial for trial in study.trials()}
        ledger.keep(list(done.values()))
        if ordinal in done:
            taken[ordinal] = done[ordinal].key
            continue
        earlier = [trial for trial in done.values() if trial.ordinal <= ordinal - executor.workers]
        try:
            proposal = propose(
                study.band, plan.sampler, plan.objectives, plan.seed, ordinal, earlier, set(taken.values())
            )
        except EmptyBandError as used_up:
            say(f"the search ends after {ordinal} trials: {used_up}")
            break
        taken[ordinal] = proposal.candidate.key
        for job in _search_jobs(plan, ordinal, proposal):
            out.send(job)
    out.collect()
    ledger.keep(study.trials())


def _search_jobs(plan: Plan, ordinal: int, proposal: Proposal) -> Iterator[_Job]:
    """A training for each member of the proposed candidate."""
    members = proposal.candidate.members
    for i, spec in enumerate(members):
        family = len(members) > 1
        yield _Job(
            kind="search",
            spec=spec,
            recipe=plan.recipe,
            seed=plan.seed,
            ordinal=ordinal,
            member=i if family else None,
            proposed_by=proposal.proposed_by,
            point=proposal.candidate.point,
            label=f"trial {ordinal + 1}/{plan.trials}" + (f", member {i + 1}/{len(members)}" if family else ""),
        )


def _final_jobs(study: Study) -> Iterator[_Job]:
    """The winners of the search over several seeds, then the named baselines, by the same recipe."""
    plan = study.plan
    winners = best_trials(study.trials(), plan.objectives)[: plan.winners.top]
    sent: set[str] = set()
    for rank, trial in enumerate(winners, 1):
        # Built anew from the point: a spec read from a row does not know what its timm backbone was measured at.
        for row, spec in zip(trial.rows, study.unit.solve(trial.point).members, strict=True):
            if spec.id in sent:
                continue
            sent.add(spec.id)
            for seed in plan.winners.seeds:
                yield _Job(
                    kind="winner",
                    spec=spec,
                    recipe=plan.winners.recipe,
                    seed=seed,
                    ordinal=row.ordinal,
                    member=row.member,
                    proposed_by=row.proposed_by,
                    point=dict(row.point),
                    label=f"winner {rank}, seed {seed}",
                )
    for name, point in plan.baselines.items():
        for i, spec in enumerate(study.unit.solve(point).members):
            for seed in plan.winners.seeds:
                yield _Job(
                    kind="baseline",
                    name=name,
                    spec=spec,
                    recipe=plan.winners.recipe,
                    seed=seed,
                    member=i if len(study.unit.budgets) > 1 else None,
                    point=dict(point),
                    label=f"baseline {name}, seed {seed}",
                )


class _Out:
    """The trainings that are out; each comes back as a row on disk."""

    def __init__(self, study: Study, executor: Executor, say: Say) -> None:
        self._study, self._executor, self._say = study, executor, say
        self._out: dict[Future[Outcome], tuple[_Job, Task, Key]] = {}

    def send(self, job: _Job) -> None:
        """See that the job gets its row: it may be there, be known from an equal training, or have to be trained."""
        task = _task(self._study, job)
        empty = _row(self._study, job, task, None)
        if self._study.folder.has(empty):
            return
        while any(key == empty.key for _, _, key in self._out.values()):
            self._collect_some()
        known = self._study.folder.known(empty.key)
        if known:
            self._write(job, task, _same(empty, known), " (known already)")
        else:
            future = self._executor.submit(task, job.label)
            self._out[future] = (job, task, empty.key)
            if future.done():
                self._collect_some()

    def collect(self, up_to: int | None = None) -> None:
        """Wait for the trainings of ordinals up to this one (of all without it), and write their rows."""
        while any(up_to is None or job.ordinal <= up_to for job, _, _ in self._out.values()):
            self._collect_some()

    def _collect_some(self) -> None:
        """Write the rows of those that are done, at least one."""
        done, _ = wait(self._out, return_when=FIRST_COMPLETED)
        for future in [future for future in self._out if future in done]:
            job, task, _ = self._out.pop(future)
            try:
                outcome = future.result()
            except BrokenProcessPool:
                raise lost() from None
            self._write(job, task, _row(self._study, job, task, outcome), f", {outcome.seconds:.0f} s")

    def _write(self, job: _Job, task: Task, row: Row, end: str) -> None:
        self._study.folder.write(row)
        if not job.final:
            shutil.rmtree(task.folder, ignore_errors=True)
        ap = row.final.get("ap")
        score = f"AP {ap:.3f}" if ap is not None else "no AP"
        told = f"{score} on {row.splits['evaluated']}" if row.state == "complete" else f"failed: {row.reason}"
        self._say(f"{job.label}: {_describe(job, row)} -> {told}{end}")


def _same(empty: Row, known: Row) -> Row:
    """The row `empty` with the numbers of an equal training."""
    return replace(
        empty,
        epochs_done=known.epochs_done,
        curve=known.curve,
        final=known.final,
        per_class=known.per_class,
        state=known.state,
        reason="known already",
        peak_memory=known.peak_memory,
        images_per_second=known.images_per_second,
    )


def _describe(job: _Job, row: Row) -> str:
    size = "x".join(str(side) for side in job.spec.size)
    point = shown(job.point)
    return f"{point + ', ' if point else ''}{human(row.cost['macs'])} MACs at {size}, {human(row.cost['params'])} params"


def _task(study: Study, job: _Job) -> Task:
    """The training, in a folder of its own: a searched one's goes when its row is written, a final one's has weights."""
    kind = "weights" if job.final else "tasks"
    return Task(
        spec=job.spec,
        recipe=job.recipe,
        seed=job.seed,
        to_epoch=job.recipe.epochs,
        folder=study.folder.path / kind / f"{job.spec.id}-{job.recipe.id}-s{job.seed}",
        train_on="train+select" if job.final and study.plan.data.select != "val" else "train",
        evaluate_on="val" if job.final else "select",
    )


def _row(study: Study, job: _Job, task: Task, outcome: Outcome | None) -> Row:
    numbers = dict(outcome.curve[-1][1]) if outcome and outcome.curve else {}
    return Row(
        kind=job.kind,
        name=job.name,
        ordinal=job.ordinal,
        member=job.member,
        proposed_by=job.proposed_by,
        point=dict(job.point),
        spec=job.spec,
        spec_id=job.spec.id,
        cost=study.unit.meter(job.spec),
        recipe=job.recipe.to_dict(),
        recipe_id=job.recipe.id,
        data=study.setting.data,
        splits={
            "train": study.setting.splits[task.train_on],
            "evaluated": study.setting.splits[task.evaluate_on],
        },
        seed=job.seed,
        epochs_done=outcome.curve[-1][0] if outcome and outcome.curve else 0,
        epochs_planned=job.recipe.epochs,
        curve=tuple((epoch, dict(values)) for epoch, values in outcome.curve) if outcome else (),
        final=numbers,
        per_class=dict(outcome.per_class) if outcome else {},
        state=outcome.state if outcome else "complete",
        reason=outcome.reason if outcome else "",
        seconds=outcome.seconds if outcome else 0.0,
        peak_memory=outcome.peak_memory if outcome else 0,
        images_per_second=outcome.images_per_second if outcome else 0.0,
        threads=study.setting.threads,
        machine=dict(study.setting.machine),
        versions=dict(study.setting.versions),
    )
