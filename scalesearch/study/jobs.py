"""`Job`: a training that a study needs a row of, its task and its row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scalesearch.arch.spec import DetectorSpec
from scalesearch.plan.ladder import Rung
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.sections import WinnersPlan
from scalesearch.plan.task import Outcome, Task
from scalesearch.records.front import ranked_trials
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial
from scalesearch.space.space import Point
from scalesearch.study.study import Study
from scalesearch.study.told import copied_at

TASKS = "tasks"
"""Folder of the checkpoints of search trainings; each is removed when its trial needs it no more."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training that the study needs a row of."""

    kind: Literal["search", "repeat", "winner", "baseline"]
    spec: DetectorSpec
    recipe: Recipe
    seed: int
    rung: int = 0
    to_epoch: int
    fidelity: Rung | None = None
    """The rung, where it is below the top."""
    name: str = ""
    ordinal: int = 0
    member: int | None = None
    proposed_by: str = ""
    told: tuple[str, ...] | None = None
    turn: int | None = None
    point: Point
    label: str

    @property
    def final(self) -> bool:
        """Whether it trains on everything but val and is evaluated on val."""
        return self.kind in ("winner", "baseline")


def repeat_jobs(study: Study, trial: Trial, seed: int, told: tuple[str, ...] | None, turn: int) -> Iterator[Job]:
    """Yield a job for each member of a candidate of the search, trained to the end with another seed."""
    plan = study.plan
    for row, spec in zip(trial.rows, study.unit.solve(trial.point).members, strict=True):
        yield Job(
            kind="repeat",
            spec=spec,
            recipe=plan.recipe,
            seed=seed,
            to_epoch=plan.recipe.epochs,
            ordinal=trial.ordinal,
            member=row.member,
            proposed_by=trial.proposed_by,
            told=told,
            turn=turn,
            point=dict(trial.point),
            label=f"trial {trial.ordinal + 1} again, seed {seed}",
        )


def final_jobs(study: Study) -> Iterator[Job]:
    """Yield the jobs of winners and named baselines, by the same recipe and with several seeds.

    All of them with the first seed come first: what is there after an interruption can be compared.
    """
    for seed in study.plan.winners.seeds:
        yield from _winner_jobs(study, study.plan.winners, seed, "")
        yield from _baseline_jobs(study, seed)


def winner_jobs(study: Study, winners: WinnersPlan, name: str) -> Iterator[Job]:
    """Yield the jobs of the search's best trials by another recipe than the plan's, which has this name, seed by seed."""
    for seed in winners.seeds:
        yield from _winner_jobs(study, winners, seed, name)


def _baseline_jobs(study: Study, seed: int) -> Iterator[Job]:
    plan = study.plan
    for name, point in plan.baselines.items():
        for i, spec in enumerate(study.unit.solve(point).members):
            yield Job(
                kind="baseline",
                name=name,
                spec=spec,
                recipe=plan.winners.recipe,
                to_epoch=plan.winners.recipe.epochs,
                seed=seed,
                member=i if len(study.unit.budgets) > 1 else None,
                point=dict(point),
                label=f"baseline {name}, seed {seed}",
            )


def _winner_jobs(study: Study, winners: WinnersPlan, seed: int, name: str) -> Iterator[Job]:
    sent: set[str] = set()
    for rank, trial in enumerate(ranked_trials(study.trials(), study.plan.objectives, winners.top), 1):
        # Built anew from the point: a spec read from a row lacks the measurements of its timm backbone.
        for row, spec in zip(trial.rows, study.unit.solve(trial.point).members, strict=True):
            if spec.id in sent:
                continue
            sent.add(spec.id)
            yield Job(
                kind="winner",
                name=name,
                spec=spec,
                recipe=winners.recipe,
                to_epoch=winners.recipe.epochs,
                seed=seed,
                ordinal=row.ordinal,
                member=row.member,
                proposed_by=row.proposed_by,
                point=dict(row.point),
                label=f"winner {rank}, seed {seed}",
            )


def task_of(study: Study, job: Job) -> Task:
    """Return the task of a job, in a folder of its own (see `_folder`)."""
    # A worker may start in another folder; a package it finds by itself.
    weights = Path(job.recipe.source).absolute() if job.recipe.source and Path(job.recipe.source).exists() else None
    return Task(
        spec=job.spec,
        recipe=job.recipe,
        seed=job.seed,
        to_epoch=job.to_epoch,
        folder=_folder(study, job),
        weights=weights,
        images=job.fidelity.images if job.fidelity else 1.0,
        scale=job.fidelity.size if job.fidelity else 1.0,
        time_limit=None if job.final else study.plan.time_limit,
        train_on="train+select" if job.final and study.plan.data.select != "val" else "train",
        evaluate_on="val" if job.final else "select",
    )


def _folder(study: Study, job: Job) -> Path:
    """Return the folder of a training's checkpoint: a search training's is removed, a final one's is kept."""
    if job.final:
        return weights_folder(study.folder.path, job.spec.id, job.recipe.id, job.seed)
    return study.folder.path / TASKS / _name(job.spec.id, job.recipe.id, job.seed)


def weights_folder(study: Path, spec_id: str, recipe_id: str, seed: int) -> Path:
    """Return the folder of a winner or a baseline of the study in `study`."""
    return study / "weights" / _name(spec_id, recipe_id, seed)


def _name(spec_id: str, recipe_id: str, seed: int) -> str:
    return f"{spec_id}-{recipe_id}-s{seed}"


def _state(outcome: Outcome | None, job: Job) -> Literal["complete", "stopped", "failed"]:
    if outcome and outcome.state == "failed":
        return "failed"
    return "complete" if job.to_epoch == job.recipe.epochs else "stopped"


def row_of(study: Study, job: Job, task: Task, outcome: Outcome | None) -> Row:
    """Return the row of a job with this outcome; without one, the part of the row known before training."""
    numbers = dict(outcome.curve[-1][1]) if outcome and outcome.curve else {}
    return Row(
        kind=job.kind,
        name=job.name,
        ordinal=job.ordinal,
        member=job.member,
        proposed_by=job.proposed_by,
        told=job.told,
        turn=job.turn,
        point=dict(job.point),
        spec=job.spec,
        spec_id=job.spec.id,
        cost=study.unit.meter(job.spec),
        recipe=job.recipe.to_dict(),
        recipe_id=job.recipe.id,
        data=study.provenance.data,
        splits={
            "train": study.provenance.splits[task.train_on],
            "evaluated": study.provenance.splits[task.evaluate_on],
        },
        seed=job.seed,
        epochs_done=outcome.curve[-1][0] if outcome and outcome.curve else 0,
        epochs_planned=job.recipe.epochs,
        curve=tuple((epoch, dict(values)) for epoch, values in outcome.curve) if outcome else (),
        steps=outcome.steps if outcome else 0,
        losses=outcome.losses if outcome else (),
        final=numbers,
        per_class=dict(outcome.per_class) if outcome else {},
        state=_state(outcome, job),
        reason=outcome.reason if outcome else "",
        seconds=outcome.seconds if outcome else 0.0,
        peak_memory=outcome.peak_memory if outcome else 0,
        images_per_second=outcome.images_per_second if outcome else 0.0,
        threads=study.provenance.threads,
        machine=dict((outcome.machine if outcome else None) or study.provenance.machine),
        versions=dict(study.provenance.versions),
    )


def same_as(empty: Row, known: Row, epochs: int) -> Row:
    """Return the row `empty` with the results of an equal training, copied at this epoch; its own time is 0."""
    return replace(
        empty,
        epochs_done=known.epochs_done,
        curve=known.curve,
        steps=known.steps,
        losses=known.losses,
        final=known.final,
        per_class=known.per_class,
        state=known.state,
        reason=copied_at(epochs, empty.epochs_planned),
        peak_memory=known.peak_memory,
        images_per_second=known.images_per_second,
    )
