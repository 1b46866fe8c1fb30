"""Train one detector: from a design, a recipe and data to weights and metrics."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path

from scalesearch.app.messages import look_at, tell_data
from scalesearch.app.prepare import as_weights_want, identified, in_epochs, with_fitted_anchors
from scalesearch.arch.spec import DetectorSpec, to_dict
from scalesearch.data.decoded_file import decoded_folder
from scalesearch.data.sets import Data, open_data
from scalesearch.execute.executor import Answer
from scalesearch.execute.together import TaskGroup
from scalesearch.io.hashes import file_hash
from scalesearch.io.publish import publish
from scalesearch.plan.recipe import NONE, Recipe
from scalesearch.plan.task import Outcome, Task
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training import run_task as training
from scalesearch.training.distributed import ALONE, Team
from scalesearch.training.folder import RESULT, claim_training
from scalesearch.training.initial import find_source, wanted_normalisation
from scalesearch.training.norms import check_norms

logger = logging.getLogger(__name__)

UNDERTRAINED = 0.1
"""AP below which a detector counts as hardly trained."""


def trainer(data: Data, *, tensorboard: bool = False, team: Team = ALONE) -> Callable[[Task, str], Outcome]:
    """Return a function that trains a task on this data, with a progress bar for each training."""

    def train(task: Task, label: str) -> Outcome:
        cache = decoded_folder()
        return training.run_task(task, data, cache=cache, label=label, tensorboard=tensorboard, team=team)

    return train


def group_trainer(data: Data) -> Callable[[TaskGroup, str], list[Answer]]:
    """Return a function that trains tasks of one trunk together on this data, with one progress bar."""

    def train(group: TaskGroup, label: str) -> list[Answer]:
        return training.run_tasks(group.tasks, data, cache=decoded_folder(), label=label)

    return train


def train(
    spec: DetectorSpec,
    recipe: Recipe,
    *,
    data: str,
    splits: tuple[str, str] = ("train", "val"),
    seed: int,
    out: Path | None,
    weights: Path | None = None,
    fit: bool = False,
    tensorboard: bool = False,
    team: Team = ALONE,
) -> Outcome:
    """Train one detector on the first of `splits`, evaluate it on the second, and report; classes are the data's.

    With `fit` its anchors are fitted to the training boxes. It starts from `weights` (as `find_source`) in place of the
    recipe's, recorded by name and hash in the result, or from random weights. The checkpoint and result.json are written
    to `out`, by default results/train-<spec id>-<recipe id>-s<seed>[-w<hash>]. The processes of
    a `team` train together; the first one reports and writes.
    """
    check_norms(spec, recipe)
    if weights:  # in place of the recipe's
        recipe = recipe.replaced({"weights": NONE})
    else:
        recipe = team.one_before_others(lambda: identified(recipe, [spec.backbone]))
    source = find_source(str(weights or recipe.source)) if weights or recipe.source else None
    spec = as_weights_want(spec, wanted_normalisation(recipe, spec.backbone, weights))
    opened = team.one_before_others(lambda: open_data(data, train=splits[0], val=splits[1], select="val"))
    check_norms(spec, recipe, len(opened.train.images))
    opened = team.one_before_others(lambda: look_at(opened))
    tell_data(opened)
    recipe = in_epochs(recipe, len(opened.train.images), "training")
    spec = dataclasses.replace(spec, classes=len(opened.train.categories))
    spec = resolve_spec(with_fitted_anchors(spec, opened.train) if fit else spec)
    logger.info(
        f"training on {opened.splits['train']} of {data}: {_class_names(opened)}; scored on {opened.splits['val']}"
    )
    start = {"file": source.file.name, "source": source.name, "sha256": file_hash(source.file)} if source else None
    name = f"train-{spec.id}-{recipe.id}-s{seed}" + (f"-w{start['sha256']}" if start and weights else "")
    folder = out or Path("results") / name
    if team.first:
        claim_training(folder)
    task = Task(
        spec=spec,
        recipe=recipe,
        seed=seed,
        to_epoch=recipe.epochs,
        folder=folder,
        weights=weights,
        evaluate_on="val",
    )
    outcome = trainer(opened, tensorboard=tensorboard, team=team)(task, f"training {spec.id}")
    for note in (*outcome.matched, *outcome.notes):
        logger.info(note)
    result = {"spec": to_dict(spec), "recipe": recipe.to_dict(), "seed": seed, "weights": start}
    result |= dataclasses.asdict(outcome)
    if team.first:
        publish(folder / RESULT, json.dumps(result, indent=1) + "\n")
    if outcome.state == "failed":
        raise ValueError(f"{folder}: {outcome.reason}")
    numbers = outcome.curve[-1][1]
    scores = ", ".join(f"{name} {value:.3f}" for name, value in numbers.items() if value is not None)
    logger.info(f"on {opened.splits['val']} after {outcome.curve[-1][0]} epochs, {outcome.seconds:.0f} s: {scores}")
    ap = numbers.get("ap")
    if ap is not None and ap < UNDERTRAINED:
        logger.warning(
            f"AP {ap:.3f} is that of a detector that has hardly begun to learn; to train longer: scalesearch train "
            f"{folder / RESULT} --data {data} --epochs {4 * recipe.epochs}"
        )
    return outcome


def _class_names(data: Data) -> str:
    names = [category.name for category in data.train.categories]
    few = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    return f"{len(names)} class{'es' * (len(names) != 1)} ({few})"
