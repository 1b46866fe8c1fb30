"""What comes after a search: its best trained by a recipe of their own; its winners scored and exported."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import optuna
import torch

from scalesearch.app.export import export_onnx
from scalesearch.app.messages import tell_found
from scalesearch.app.progress import Console
from scalesearch.app.search_study import make_study, open_plan_data
from scalesearch.app.trained_model import Model, evaluate, open_model
from scalesearch.app.workers import HERE, find_engine, make_executor
from scalesearch.data.sets import open_split
from scalesearch.evidence.noise import by_seed
from scalesearch.nn.checkpoints import file_hash
from scalesearch.plan.design import read_recipe_file
from scalesearch.plan.plan import Plan, read_plan
from scalesearch.plan.reader import read_section
from scalesearch.plan.sections import WinnersPlan, read_recipe
from scalesearch.records.folder import PLAN, StudyFolder, read_rows, write_whole
from scalesearch.records.row import Row
from scalesearch.records.trials import best_trials
from scalesearch.report.facts import gather
from scalesearch.report.write import write_report
from scalesearch.search.driver import train_winners
from scalesearch.search.jobs import weights_folder
from scalesearch.search.study import Study
from scalesearch.train import checkpoint

EVALUATION, DETECTOR = "evaluation.json", "detector.onnx"
"""What `finish` adds to the weights of a winner."""


def train_front(
    path: Path,
    *,
    top: int,
    recipe: Path | None = None,
    changes: Sequence[str] = (),
    seeds: Sequence[int] | None = None,
    data: str | None = None,
    console: Console,
) -> Path:
    """Train the `top` best of the front of the study in `path` by another recipe; its report's path.

    The recipe is that of the file, else that of the plan's winners, with `changes` put in place; the seeds are the
    plan's winners' where none are given. `data` is where the study's data lies now. The same command continues. The
    plan stays as it is. ValueError for what the user can mend; rows written before stay, and are reported.
    """
    begun = read_study_plan(path)
    plan = dataclasses.replace(begun, data=dataclasses.replace(begun.data, source=data)) if data else begun
    base = plan.winners.recipe
    chosen = read_recipe_file(recipe, changes) if recipe else read_recipe(read_section(None, changes).value, base)
    # By the plan's own recipe these are its winners, more of them or of other seeds.
    name = "" if chosen.id == plan.winners.recipe.id else recipe.stem if recipe else chosen.id
    winners = WinnersPlan(top=top, seeds=tuple(seeds or plan.winners.seeds), recipe=chosen)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    engine = find_engine(plan, HERE, console)
    torch.set_num_threads(engine.threads)
    opened = open_plan_data(plan, console)
    with StudyFolder.open(path, begun, data=opened.fingerprint) as folder:
        study = make_study(plan, opened, folder, console)
        _check_front(study, path)
        executor = make_executor(engine, plan, opened, folder.path, console)
        try:
            train_winners(study, executor, console.say, winners, name)
        finally:
            executor.close()
            report = write_report(path, begun, folder.rows())
        tell_found(gather(begun, folder.rows()), path, console)
    return report


def read_study_plan(path: Path) -> Plan:
    """The plan of the study in `path`. ValueError where that is no study's folder."""
    if not (path / PLAN).exists():
        raise ValueError(f"{path}: a study's folder has a {PLAN}, but this one has none; name one under results/")
    return read_plan(path / PLAN)


def _check_front(study: Study, path: Path) -> None:
    """ValueError where there is no front, or what would be trained is not what was searched."""
    front = best_trials(study.trials(), study.plan.objectives)
    if not front:
        raise ValueError(f"{path}: a front has complete trials, but this study has none; search first")
    for trial in front:
        for row, spec in zip(trial.rows, study.unit.solve(trial.point).members, strict=True):
            if row.spec_id != spec.id:
                raise ValueError(
                    f"{path}: trial {trial.ordinal} must be built as it was searched, but its spec was {row.spec_id} "
                    f"and is {spec.id} now (another version of scalesearch?); train its row's file by itself"
                )


def finish(path: Path, plan: Plan, console: Console) -> None:
    """Scores the winners of the study in `path` on val, and exports them with suppression, beside their weights.

    Of each winner the lowest seed, whatever its AP: the best of several on val would flatter. What is there already,
    of the same weights, is not made again. ValueError as `export_onnx`.
    """
    groups = by_seed(read_rows(path), ["winner"])
    if not groups:
        console.say("no winners to finish")
    split = open_split(plan.data.source, plan.data.val)
    for group in groups:
        row = group.first
        folder = weights_folder(path, row.spec_id, row.recipe_id, row.seed)
        weights = checkpoint.last(folder)
        if weights is None:
            console.say(f"winner {row.spec_id}: no weights in {folder}, which another machine may have; not exported")
        elif _finished(folder, weights):
            console.say(f"winner {row.spec_id}: {folder / DETECTOR} is there already")
        else:
            model = open_model(folder, say=console.say)
            scored = evaluate(model, split, console)
            exported = _export(model, folder)
            # Last, for it says that the other is there.
            write_whole(folder / EVALUATION, json.dumps(scored, indent=1, ensure_ascii=False) + "\n")
            console.say(f"winner {row.spec_id}: {_score_text(scored['numbers']['ap'], row)}; {exported}")


def _finished(folder: Path, weights: Path) -> bool:
    try:
        made = json.loads((folder / EVALUATION).read_text())["weights"]["sha256"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return bool(made == file_hash(weights)) and (folder / DETECTOR).is_file()


def _export(model: Model, folder: Path) -> str:
    found = export_onnx(model, folder / DETECTOR, nms=True)
    return f"{folder / DETECTOR}, largest relative difference {found.difference:.2g}"


def _score_text(ap: float | None, row: Row) -> str:
    own = row.final.get("ap")
    text = "no AP" if ap is None else f"AP {ap:.3f} on {row.splits['evaluated']}"
    if ap is not None and own is not None and abs(ap - own) > 5e-4:
        return f"{text} (its row says {own:.3f}: other hardware or versions)"
    return text
