"""Evaluation of a trained detector on a data set."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Any

from scalesearch.app.onnx_model import OnnxModel
from scalesearch.app.trained_model import Model
from scalesearch.data.categories import by_name
from scalesearch.data.decoded_file import decoded_folder
from scalesearch.data.pixels import open_pixels
from scalesearch.data.split import Category, Split, box_counts, ground_truth, with_classes
from scalesearch.io.hashes import file_hash
from scalesearch.nn.memory_limit import check_inference
from scalesearch.training.coco_metrics import coco_numbers
from scalesearch.training.evaluation import BATCH

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The evaluation of a model on a split."""

    summary: dict[str, Any]
    """COCO metrics as plain data: over all classes, and for each class."""
    split: Split
    results: list[dict[str, Any]]
    """COCO results, with the ids of `split`."""
    curves: dict[str, list[float]]
    """Precision at IoU 0.5 over recall, by class; see `training.coco_metrics.Evaluation`."""

    def own_results(self, own: Split) -> list[dict[str, Any]]:
        """Return the results with the ids of the data's own file: its categories' may differ from the model's, or be text."""
        names = {category.id: category.name for category in self.split.categories}
        texts = own.texts
        ids = {category.name: texts.categories.get(category.id, category.id) for category in own.categories}
        kept = (result for result in self.results if names[result["category_id"]] in ids)
        return [
            {
                **result,
                "image_id": texts.images.get(result["image_id"], result["image_id"]),
                "category_id": ids[names[result["category_id"]]],
            }
            for result in kept
        ]


def evaluate(model: Model | OnnxModel, split: Split, method: str = "hard") -> Scored:
    """Evaluate the model on a split, by a suppression `method` of `nn.postprocess.detect`.

    Raises ValueError where the data has objects of classes unknown to the model.
    """
    split = with_classes(split, model.categories)
    if model.classes is not None and _known(split) <= {category.name for category in model.categories}:
        split = by_name(split, model.categories, model.file.name)
    categories = checked_classes(model, split)
    if model.classes is None:
        how = "in the order of their ids" if len(categories) == len(split.categories) else "by their ids"
        logger.warning(
            f"{model.file.name} does not record its classes: its {len(model.categories)} outputs are taken for the classes of "
            f"{split.name}, {how}"
        )
    check_inference(model.spec, min(BATCH, len(split.images)), model.device)
    pixels = open_pixels(split, model.spec.size, decoded_folder())
    named = dataclasses.replace(split, categories=categories)
    predicted = dataclasses.replace(pixels, split=named, normalisation=model.spec.normalisation)
    known = {category.id for category in split.categories}
    results = [one for one in model.detections(predicted, method) if one["category_id"] in known]
    found = coco_numbers(ground_truth(split), results)
    counts = box_counts(split)
    boxes = {category.name: int(count) for category, count in zip(split.categories, counts, strict=True)}
    summary = {
        "weights": {"file": model.file.name, "sha256": file_hash(model.file)},
        "spec_id": model.spec.id,
        "size": list(model.spec.size),
        "split": split.name,
        "nms": method,
        "images": len(split.images),
        "boxes": int(counts.sum()),
        "numbers": found.numbers,
        "classes": {name: {"boxes": boxes[name], **numbers} for name, numbers in found.classes.items()},
    }
    return Scored(summary=summary, split=split, results=results, curves=found.curves)


def _known(split: Split) -> set[str]:
    """Return the names of the classes that have objects."""
    return {c.name for c, count in zip(split.categories, box_counts(split).tolist(), strict=True) if count}


def checked_classes(model: Model | OnnxModel, split: Split) -> tuple[Category, ...]:
    """Return the category of each label of the model. Raises ValueError where the data has other categories.

    A file without class names fits data with as many categories, in the order of their ids, or data with ids up to its
    number of classes: label k is then the id k + 1 (effdet's 90 classes on COCO's 80 categories).
    """
    ours, theirs = model.categories, split.categories
    if model.classes is None:
        if len(ours) == len(theirs):
            return theirs
        if all(1 <= category.id <= len(ours) for category in theirs):
            return ours
        raise ValueError(
            f"a model and its data must have the same classes, but {model.file} has {len(ours)} without names and "
            f"{split.name} has {len(theirs)} with ids up to {theirs[-1].id}: evaluate it on the data it was trained on"
        )
    if ours != theirs:
        only = [
            f"only {whose} has {', '.join(f'{c.id} {c.name!r}' for c in extra)}"
            for whose, extra in (
                (f"the model {model.file}", [c for c in ours if c not in theirs]),
                (f"the data {split.name}", [c for c in theirs if c not in ours]),
            )
            if extra
        ]
        raise ValueError(
            f"a model and its data must have the same classes (ids and names), but {'; '.join(only)}: give the data it was "
            "trained on, or train it on this"
        )
    return ours
