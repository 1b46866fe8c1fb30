"""The one driver of a study: it alone proposes and writes rows; training comes in as a function.

Whatever has a row is not trained again, so the same command continues a study that was interrupted.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from scalesearch.arch.budget import human
from scalesearch.arch.cost import Cost, price
from scalesearch.arch.space import Point
from scalesearch.arch.spec import DetectorSpec
from scalesearch.plan.plan import Plan
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome, Task
from scalesearch.records.folder import StudyFolder
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial, best_trials, trials
from scalesearch.search.band import Band, EmptyBandError
from scalesearch.search.ledger import Ledger
from scalesearch.search.propose import Proposal, propose
from scalesearch.search.unit import Unit

Train = Callable[[Task, str], Outcome]
"""Trains a task; the text says which, for a progress bar."""
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


def run(study: Study, train: Train, say: Say) -> None:
    """Search, then winners, then baselines; every row is on disk when this returns.

    Raises whatever `train` raises, KeyboardInterrupt among it; rows written so far stay.
    """
    search(study, train, say)
    for job in _final_jobs(study):
        _do(study, job, train, say)


def search(study: Study, train: Train, say: Say) -> None:
    """Propose and train until the plan's number of trials is there or the band is used up."""
    plan = study.plan
    ledger = Ledger(study.folder.path, plan.name, plan.objectives, study.unit.axes)
    for ordinal in range(plan.trials):
        ledger.keep(done := study.trials())
        if ordinal in {trial.ordinal for trial in done}:
            continue
        # Only what was there when this candidate was first due: a resumed study asks the same question.
        earlier = [trial for trial in done if trial.ordinal < ordinal]
        try:
            proposal = propose(study.band, plan.sampler, plan.objectives, plan.seed, ordinal, earlier)
        except EmptyBandError as used_up:
            say(f"the search ends after {ordinal} trials: {used_up}")
            break
        for job in _search_jobs(plan, ordinal, proposal):
            _do(study, job, train, say)
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
    found: dict[str, tuple[str, Row]] = {}
    for rank, trial in enumerate(winners, 1):
        for row in trial.rows:
            found.setdefault(row.spec_id, (f"winner {rank}", row))
    for label, row in found.values():
        for seed in plan.winners.seeds:
            yield _Job(
                kind="winner",
                spec=row.spec,
                recipe=plan.winners.recipe,
                seed=seed,
                ordinal=row.ordinal,
                member=row.member,
                proposed_by=row.proposed_by,
                point=dict(row.point),
                label=f"{label}, seed {seed}",
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


def _do(study: Study, job: _Job, train: Train, say: Say) -> None:
    """Bring the job's row to disk: it may be there, be known from an equal training, or be trained."""
    task = _task(study, job)
    empty = _row(study, job, task, None)
    if study.folder.has(empty):
        return
    known = study.folder.known(empty.key)
    if known:
        row = replace(
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
    else:
        row = _row(study, job, task, train(task, job.label))
    study.folder.write(row)
    if not job.final:
        shutil.rmtree(task.folder, ignore_errors=True)
    ap = row.final.get("ap")
    score = f"AP {ap:.3f}" if ap is not None else "no AP"
    told = f"{score} on {row.splits['evaluated']}" if row.state == "complete" else f"failed: {row.reason}"
    again = " (known already)" if known else f", {row.seconds:.0f} s"
    say(f"{job.label}: {_describe(job, row)} -> {told}{again}")


def _describe(job: _Job, row: Row) -> str:
    size = "x".join(str(side) for side in job.spec.size)
    point = ", ".join(f"{name} {value}" for name, value in job.point.items())
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
    cost: Cost = price(job.spec)
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
        cost=cost._asdict(),
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
