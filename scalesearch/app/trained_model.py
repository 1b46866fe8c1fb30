"""A trained detector opened from its file."""

from __future__ import annotations

import dataclasses
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.pixels import Pixels
from scalesearch.data.split import Category
from scalesearch.nn.allocator import keep_freed_memory
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.checkpoints import read_weights, translated
from scalesearch.nn.detector import Detector, build
from scalesearch.nn.memory_limit import check_inference
from scalesearch.nn.model_file import Classes, load_trained, read_description
from scalesearch.plan.design import fits_anchors, read_design, read_size
from scalesearch.profile.resolve import resolve_spec
from scalesearch.training import checkpoint
from scalesearch.training.evaluation import predict

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained detector in evaluation mode, with the classes recorded in its file."""

    file: Path
    detector: Detector
    classes: Classes | None
    """None where the file records none."""

    @property
    def spec(self) -> DetectorSpec:
        """The detector's spec."""
        return self.detector.spec

    @property
    def categories(self) -> tuple[Category, ...]:
        """The category of each label; without names, label k is `class k + 1`, as effdet and google/automl count."""
        known = self.classes or [(k + 1, f"class {k + 1}") for k in range(self.spec.classes)]
        return tuple(Category(id=id_, name=name) for id_, name in known)

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        return next(self.detector.parameters()).device

    def detections(self, pixels: Pixels, method: str = "hard") -> list[dict[str, Any]]:
        """Return COCO results of all images, by a suppression `method` of `nn.postprocess.detect`."""
        return predict(self.detector, anchor_boxes(self.spec, self.device), pixels, method)


def open_model(weights: Path, *, design: str | None = None, size: str | None = None) -> Model:
    """Open the detector in `weights`: a training's folder (its last checkpoint) or a file, at `size` (HxW) or its own.

    A file that does not record its detector (effdet's, or an early one of ours) needs `design`. The model is on the GPU
    where there is one. Raises FileNotFoundError, or ValueError that says what to do.
    """
    file = weights_file(weights)
    described = read_description(file)
    if described and design:
        raise ValueError(f"{file} records its own detector (spec {described.spec.id}): leave --design out")
    if described is None and design is None:
        beside = file.parent / "result.json"
        mend = beside if beside.is_file() else "d0 .. lite4, or a file"
        raise ValueError(f"{file} does not record the detector of its weights: name it with --design ({mend})")
    spec = described.spec if described else _counted(read_design(str(design)), file)
    if design and fits_anchors(design):
        logger.warning(
            f"{design} has anchors: auto, and {file} does not say which its training fitted: the published ones are taken, "
            "and its boxes are wrong if others were fitted; write those under anchors"
        )
    spec = resolve_spec(dataclasses.replace(spec, size=read_size(size)) if size else spec)
    if described and not described.evaluated:
        logger.warning(
            f"{file} was written between two evaluations: its batch norms have running statistics, not evaluated ones"
        )
    place = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    check_inference(spec, 1, place)
    keep_freed_memory()
    detector = build(spec)
    load_trained(detector, file)
    return Model(file=file, detector=detector.eval().to(place), classes=described.classes if described else None)


def weights_file(weights: Path) -> Path:
    """Return `weights` itself if it is a file, or the last checkpoint of a training's folder. Raises ValueError."""
    if not weights.is_dir():
        return weights
    file = checkpoint.last(weights)
    if file is None:
        raise ValueError(
            f"{weights}: a training's folder must have a {checkpoint.LAST}, but this one has none; name a file"
        )
    return file


def _counted(spec: DetectorSpec, file: Path) -> DetectorSpec:
    """Return the spec with as many classes as the weights predict, where the weights show it."""
    for name, value in translated(read_weights(file), spec).items():
        if re.fullmatch(r"class_head\.predict\..*bias", name) and len(value) % spec.anchors.per_cell == 0:
            return dataclasses.replace(spec, classes=len(value) // spec.anchors.per_cell)
    return spec
