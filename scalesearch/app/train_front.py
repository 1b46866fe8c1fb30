"""Train the best of a study's front by another recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import optuna
import torch

from scalesearch.app.gpu_workers import fill_gpus
from scalesearch.app.messages import tell_found
from scalesearch.app.prepare import identified, in_epochs
from scalesearch.app.report_study import report_study
from scalesearch.app.search_study import (
    backbones_of,
    check_starts,
    final_images,
    make_study,
    open_plan_data,
    provenance,
)
from scalesearch.app.workers import HERE, find_engine, make_executor
from scalesearch.plan.design import read_recipe_file
from scalesearch.plan.plan import Plan, read_plan
from scalesearch.plan.reader import read_section
from scalesearch.plan.sections import WinnersPlan, read_recipe
from scalesearch.records.folder import PLAN, StudyFolder, check_study
from scalesearch.records.front import ranked_trials
from scalesearch.report.facts import gather
from scalesearch.study.driver import train_winners
from scalesearch.study.study import Study


def train_front(
    path: Path,
    *,
    top: int,
    recipe: Path | None = None,
    changes: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    data: str | None = None,
) -> Path:
    """Train the `top` best of the front of the study in `path` by another recipe, and return its report's path.

    The recipe is the file's, else that of the plan's winners, with `changes` applied. `seeds` are by default those of
    the plan's winners. `data` is the present place of the study's data. The plan is not changed; the same command
    continues. Raises ValueError for what the user can correct; rows written before stay and are reported.
    """
    begun = read_study_plan(path)
    plan = dataclasses.replace(begun, data=dataclasses.replace(begun.data, source=data)) if data else begun
    base = plan.winners.recipe
    chosen = read_recipe_file(recipe, changes) if recipe else read_recipe(read_section(None, changes).value, base)
    chosen = identified(chosen, backbones_of(plan))
    check_starts(plan, chosen)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    engine = find_engine(plan, HERE)
    torch.set_num_threads(engine.threads)
    opened = open_plan_data(plan)
    chosen = in_epochs(chosen, final_images(plan, opened), "winners")
    # With the plan's own recipe these are its winners: more of them, or other seeds.
    name = "" if chosen.id == plan.winners.recipe.id else recipe.stem if recipe else chosen.id
    winners = WinnersPlan(top=top, seeds=tuple(seeds or plan.winners.seeds), recipe=chosen)
    with StudyFolder.open(path, begun, data=opened.fingerprint) as folder:
        study = make_study(plan, opened, folder)
        _check_front(study, path, top)
        engine = fill_gpus(engine, plan, HERE, study.band)
        torch.set_num_threads(engine.threads)
        study = dataclasses.replace(study, provenance=provenance(plan, opened))  # as in a search
        executor = make_executor(engine, plan, opened, folder.path)
        try:
            train_winners(study, executor, winners, name)
        finally:
            executor.close()
            facts = gather(begun, folder.rows())
            report = report_study(path, facts)
        tell_found(facts, path)
    return report


def read_study_plan(path: Path) -> Plan:
    """Read the plan of the study in `path`. Raises ValueError where that is no study's folder."""
    check_study(path)
    return read_plan(path / PLAN)


def _check_front(study: Study, path: Path, top: int) -> None:
    """Raise ValueError where there is no front, or a spec built now differs from the one that was searched."""
    front = ranked_trials(study.trials(), study.plan.objectives, top)
    if not front:
        raise ValueError(f"{path}: a front has complete trials, but this study has none; search first")
    for trial in front:
        for row, spec in zip(trial.rows, study.unit.solve(trial.point).members, strict=True):
            if row.spec_id != spec.id:
                raise ValueError(
                    f"{path}: trial {trial.ordinal} must be built as it was searched, but its spec was {row.spec_id} "
                    f"and is {spec.id} now (another version of scalesearch?); train its row's file by itself"
                )
