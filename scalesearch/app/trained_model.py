"""A trained detector opened from its file, and scored on a data set."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scalesearch.app.progress import Console
from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.pixels import open_pixels
from scalesearch.data.split import Category, Split, box_counts, ground_truth, with_classes
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.checkpoints import file_hash, read_weights, translated
from scalesearch.nn.detector import Detector, build
from scalesearch.nn.memory_limit import check_inference
from scalesearch.nn.model_file import Classes, load_trained, read_description
from scalesearch.plan.design import read_design, read_size
from scalesearch.profile.resolve import default_cache, resolve_spec
from scalesearch.train import checkpoint
from scalesearch.train.coco_metrics import coco_numbers
from scalesearch.train.evaluation import BATCH, predict

Say = Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained detector, evaluating, with what its file says of its classes."""

    file: Path
    detector: Detector
    classes: Classes | None
    """None where the file does not say."""

    @property
    def spec(self) -> DetectorSpec:
        """The detector's."""
        return self.detector.spec

    @property
    def categories(self) -> tuple[Category, ...]:
        """One for each label; without names of its own label k is `class k + 1`, as effdet and google/automl count."""
        known = self.classes or [(k + 1, f"class {k + 1}") for k in range(self.spec.classes)]
        return tuple(Category(id=id_, name=name) for id_, name in known)


def open_model(weights: Path, *, design: str | None = None, size: str | None = None, say: Say) -> Model:
    """The detector in `weights`: a training's folder (its last checkpoint) or a file, at `size` (HxW) or its own.

    A file says itself which detector it is; one that does not (effdet's, or ours before they did) needs `design`.
    It lies on the GPU where there is one. FileNotFoundError, or ValueError with the mend.
    """
    file = _file(weights)
    described = read_description(file)
    if described and design:
        raise ValueError(f"{file} says itself which detector it is (spec {described.spec.id}): leave --design out")
    if described is None and design is None:
        beside = file.parent / "result.json"
        mend = beside if beside.is_file() else "d0 .. lite4, or a file"
        raise ValueError(f"{file} does not say which detector its weights are of: name it with --design ({mend})")
    spec = described.spec if described else _counted(read_design(str(design), say=say), file)
    spec = resolve_spec(dataclasses.replace(spec, size=read_size(size)) if size else spec)
    if described and not described.evaluated:
        say(f"{file} was written between two evaluations: its batch norms have running statistics, not evaluated ones")
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_inference(spec, 1, place)
    detector = build(spec)
    load_trained(detector, file)
    return Model(file=file, detector=detector.eval().to(place), classes=described.classes if described else None)


def _file(weights: Path) -> Path:
    if not weights.is_dir():
        return weights
    file = checkpoint.last(weights)
    if file is None:
        raise ValueError(f"{weights}: a training's folder has a {checkpoint.LAST}, but this one has none; name a file")
    return file


def _counted(spec: DetectorSpec, file: Path) -> DetectorSpec:
    """The spec with as many classes as the weights predict, where they tell."""
    for name, value in translated(read_weights(file), spec).items():
        if re.fullmatch(r"class_head\.predict\..*bias", name) and len(value) % spec.anchors.per_cell == 0:
            return dataclasses.replace(spec, classes=len(value) // spec.anchors.per_cell)
    return spec


def evaluate(model: Model, split: Split, console: Console) -> dict[str, Any]:
    """COCO's numbers of the model on a split, as plain data: over all, and for each class.

    ValueError where the classes of the model and of the data are not the same.
    """
    split = with_classes(split, model.categories)
    categories = checked_classes(model, split)
    check_inference(model.spec, min(BATCH, len(split.images)), next(model.detector.parameters()).device)
    bar = console.bar("decoding images")
    cache = default_cache() / "pixels"
    pixels = open_pixels(split, model.spec.size, cache, lambda done, total: bar(done, total, "images"))
    anchors = anchor_boxes(model.spec, next(model.detector.parameters()).device)
    named = dataclasses.replace(split, categories=categories)
    predicted = dataclasses.replace(pixels, split=named, normalisation=model.spec.normalisation)
    known = {category.id for category in split.categories}
    results = [one for one in predict(model.detector, anchors, predicted) if one["category_id"] in known]
    found = coco_numbers(ground_truth(split), results)
    counts = box_counts(split)
    boxes = {category.name: int(count) for category, count in zip(split.categories, counts, strict=True)}
    return {
        "weights": {"file": model.file.name, "sha256": file_hash(model.file)},
        "spec_id": model.spec.id,
        "size": list(model.spec.size),
        "split": split.name,
        "images": len(split.images),
        "boxes": int(counts.sum()),
        "numbers": found.numbers,
        "classes": {name: {"boxes": boxes[name], **numbers} for name, numbers in found.classes.items()},
    }


def checked_classes(model: Model, split: Split) -> tuple[Category, ...]:
    """The category of each label of the model; ValueError where the data has others.

    A file without names fits data of as many categories, in the order of their ids, or of ids up to its number of
    classes: label k is the id k + 1 (effdet's 90 classes on COCO's 80 categories).
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
            f"only the {whose} has {', '.join(f'{c.id} {c.name!r}' for c in extra)}"
            for whose, extra in (
                ("model", [c for c in ours if c not in theirs]),
                ("data", [c for c in theirs if c not in ours]),
            )
            if extra
        ]
        raise ValueError(
            f"a model and its data must have the same classes (ids and names), but of {model.file} and {split.name} "
            f"{'; '.join(only)}: give the data it was trained on, or train it on this"
        )
    return ours
