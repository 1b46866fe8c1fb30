"""The commands as functions, for notebooks and scripts: `import scalesearch as ss`.

Each takes plain values and returns data. Every error of the user's is a ValueError or an OSError that says what to do.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from scalesearch.app import audit_study, fit_scaling, search_study, train_one, trained_model
from scalesearch.app import evaluate as evaluation
from scalesearch.app import predict as prediction
from scalesearch.app.trained_model import Model
from scalesearch.app.workers import Where
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.budget import quantity
from scalesearch.data.sets import open_split
from scalesearch.plan.design import read_design, read_recipe_file
from scalesearch.plan.plan import Plan, read_plan
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.task import Outcome
from scalesearch.report.study_results import StudyResults, read_study

Changes = Mapping[str, Any]
"""Dotted keys of a plan or fields of a recipe that override the file's: `{"trials": 6, "recipe.epochs": 10}`."""


def load_plan(file: str | Path, changes: Changes | None = None) -> Plan:
    """Read the plan in a YAML file, with every default filled in. PlanError names file, line and remedy."""
    return read_plan(file, _overrides(changes))


def search(
    plan: Plan | str | Path,
    *,
    data: str | Path | None = None,
    out: str | Path | None = None,
    workers: int | None = None,
    storage: str | None = None,
) -> StudyResults:
    """Run or continue a study up to its report, and return its results as `read_study` does.

    plan     a plan, or its YAML file
    data     a COCO folder, or digits, in place of the plan's
    out      the study's folder, by default results/<name of the plan>
    workers  trainings at a time, in place of the plan's number
    storage  Optuna storage of the trials, as `sqlite:///studies.db`; by default a journal in the folder
    """
    plan = plan if isinstance(plan, Plan) else read_plan(plan)
    if data is not None:
        plan = dataclasses.replace(plan, data=dataclasses.replace(plan.data, source=str(data)))
    if workers is not None:
        plan = dataclasses.replace(plan, workers=workers)
    folder = Path(out) if out is not None else Path("results") / plan.name
    search_study.search(plan, folder, Where(workers=workers), storage)
    return read_study(folder)


def train(
    design: DetectorSpec | str | Path,
    *,
    data: str | Path = "digits",
    splits: tuple[str, str] = ("train", "val"),
    recipe: Recipe | Changes | str | Path | None = None,
    seed: int = 0,
    weights: str | Path | None = None,
    out: str | Path | None = None,
) -> Outcome:
    """Train one detector on the first of `splits`, evaluate it on the second, and return the outcome.

    design   a DetectorSpec, a published name such as d0, or a file; its number of classes becomes the data's
    recipe   a Recipe, the name of a preset, a YAML file, or fields in place of the defaults ({"epochs": 10})
    weights  a file, a training's folder or an installed package to start from, in place of the recipe's
    out      the folder of checkpoints and result.json; the same call continues an interrupted training in it
    """
    spec = design if isinstance(design, DetectorSpec) else read_design(str(design))
    return train_one.train(
        spec,
        _recipe(recipe),
        data=str(data),
        splits=splits,
        seed=seed,
        out=Path(out) if out is not None else None,
        weights=Path(weights) if weights is not None else None,
    )


def load_model(weights: str | Path, *, design: str | None = None, size: tuple[int, int] | None = None) -> Model:
    """Open the trained detector in a training's folder or a file of weights; its torch module is `.detector`.

    `design` names the detector where the file does not record it; `size` (height, width) overrides its input size.
    """
    asked = f"{size[0]}x{size[1]}" if size else None
    return trained_model.open_model(Path(weights), design=design, size=asked)


def evaluate(
    model: Model | str | Path, data: str | Path, split: str = "val", *, nms: Literal["hard", "soft"] = "hard"
) -> dict[str, Any]:
    """Return the twelve COCO metrics on a split, over all (`numbers`) and by class (`classes`), as plain data.

    nms: hard, as everywhere else here, or soft, by which EfficientDet's published AP is measured.

    Raises ValueError where the model's classes are not the data's.
    """
    return evaluation.evaluate(_model(model), open_split(str(data), split), nms).summary


def predict(
    model: Model | str | Path, images: str | Path | Sequence[str | Path], *, score: float = 0.3
) -> list[dict[str, Any]]:
    """Return the detections with at least `score` in each image; `images` are files or folders of them.

    One dict a detection, in the order of the images, best first: file_name, category_id, category_name, bbox ([x, y,
    width, height] in pixels of the upright image) and score. Raises DataError for an image that cannot be read.
    """
    places = [images] if isinstance(images, str | Path) else images
    return prediction.detections(_model(model), [Path(place) for place in places], score=score)


def audit(source: str | Path, *, against: str | Path | None = None) -> dict[str, Any]:
    """Return how well short trainings rank as full ones do, and the noise between seeds, as plain data (docs/audit.md).

    source   a study's folder, or a CSV or Parquet file of points with scores by seed and epoch
    against  a study or a table of full trainings of the same candidates, in place of the source's own
    """
    return audit_study.audit_study(Path(source), Path(against) if against is not None else None)


def fit(
    source: str | Path,
    *,
    budgets: Sequence[float | str] = (),
    flops_are: str | None = None,
    design: str | None = None,
) -> dict[str, Any]:
    """Return the scaling law of each family in `source`, and what it predicts at `budgets`, as plain data (docs/scaling.md).

    source     a study's folder, or a CSV or Parquet file of detectors
    budgets    multiply-adds, as `3e9` or `"3G"`
    flops_are  what a column flops counts: `multiply-adds`, or `twice` those
    design     what a family of a file's rows is made of, as `d0`
    """
    return fit_scaling.fit_scaling(Path(source), flops_are, [quantity(budget) for budget in budgets], design)


def _model(model: Model | str | Path) -> Model:
    return model if isinstance(model, Model) else load_model(model)


def _recipe(recipe: Recipe | Changes | str | Path | None) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if isinstance(recipe, Mapping):
        preset = recipe.get("preset")
        fields = {name: value for name, value in recipe.items() if name != "preset"}
        return read_recipe_file(Path(str(preset)) if preset else None, _overrides(fields))
    return read_recipe_file(Path(recipe) if recipe is not None else None, ())


def _overrides(changes: Changes | None) -> list[str]:
    return [f"{key}={json.dumps(value)}" for key, value in (changes or {}).items()]
