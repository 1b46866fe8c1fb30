"""Files of an evaluation: detections for other tools, and plots."""

from __future__ import annotations

import json
from pathlib import Path

from scalesearch.app.evaluate import Scored
from scalesearch.app.onnx_model import OnnxModel, open_onnx
from scalesearch.app.trained_model import Model, open_model
from scalesearch.data.split import Split
from scalesearch.io.publish import publish_or_keep
from scalesearch.report.eval_plots import CURVES, MATRIX, draw_curves, draw_matrix
from scalesearch.training.confusion import IOU, SCORE, confusion


def open_scored(weights: Path, *, design: str | None = None, size: str | None = None) -> Model | OnnxModel:
    """Open the detector in `weights`, as `open_model`, or in an exported .onnx. Raises ValueError as these do."""
    if weights.suffix != ".onnx":
        return open_model(weights, design=design, size=size)
    if design or size:
        raise ValueError(f"{weights} is exported with its design and size: leave --design and --size out")
    return open_onnx(weights)


def write_detections(found: Scored, own: Split, file: Path) -> None:
    """Write the results in COCO's format, with the ids of the annotation file that `own` was read from."""
    publish_or_keep(file, json.dumps(found.own_results(own)) + "\n")


def write_plots(found: Scored, folder: Path) -> None:
    """Draw the confusion matrix and the precision-recall curves in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [category.name for category in found.split.categories]
    subject = f"{found.summary['weights']['file']} on {found.summary['split']}"
    title = f"{subject}\nscore at least {SCORE}, IoU at least {IOU}"
    draw_matrix(confusion(found.split, found.results), names, title, folder / MATRIX)
    draw_curves(found.curves, f"{subject}, IoU 0.5", folder / CURVES)
