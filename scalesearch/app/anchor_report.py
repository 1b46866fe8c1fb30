"""The objects of a data set that a detector's anchors can match, and anchors that match more."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.data.pixels import split_targets
from scalesearch.data.split import Split
from scalesearch.nn.anchors import MATCH, coverage, fit_anchors, match_counts

IOUS = (0.4, MATCH, 0.6)
"""IoU thresholds of the report; the default recipe assigns a box to an anchor from 0.5 on."""

SIZES = (("small", 0, 32**2), ("medium", 32**2, 96**2), ("large", 96**2, float("inf")))
"""COCO's object sizes, by area in pixels of the original image: low <= area < high."""


def anchor_report(spec: DetectorSpec, split: Split) -> dict[str, Any]:
    """Compare the spec's anchors with those fitted to the split (`fit_anchors`); return plain data.

    For both, by object size and class: the share of boxes that an anchor overlaps by each of IOUS, and the mean number
    of anchors a box that do so by 0.5. Boxes are scaled to the spec's input; crowds are left out.
    """
    boxes, labels = split_targets(split, spec.size)
    groups = _groups(split, labels.numpy())
    fitted = fit_anchors(boxes, labels, spec)
    return {
        "spec_id": spec.id,
        "size": list(spec.size),
        "split": split.name,
        "groups": {name: int(chosen.sum()) for name, chosen in groups.items()},
        "own": _matched(spec, boxes, groups),
        "proposed": _matched(dataclasses.replace(spec, anchors=fitted), boxes, groups),
        "same": fitted == spec.anchors,
    }


def _groups(split: Split, labels: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Return the mask of boxes for each line of the table: all, each size, each class, each class by size."""
    none = np.zeros(0, np.float64)
    areas = np.concatenate([none, *(image.areas[~image.crowd] for image in split.images)])
    sizes = {name: (low <= areas) & (areas < high) for name, low, high in SIZES}
    found = {"all": np.ones(len(areas), np.bool_), **sizes}
    for k, category in enumerate(split.categories):
        own, shown = labels == k, category.name
        while shown in found:  # a class may be named like a size
            shown = f"class {shown}"
        found[shown] = own
        found |= {f"{shown}, {name}": own & inside for name, inside in sizes.items() if (own & inside).any()}
    return found


def _matched(spec: DetectorSpec, boxes: Tensor, groups: dict[str, NDArray[np.bool_]]) -> dict[str, Any]:
    counts = {iou: match_counts(spec, boxes, iou) for iou in IOUS}
    lines: dict[str, Any] = {}
    for name, chosen in groups.items():
        found = {iou: coverage(count[torch.from_numpy(chosen)]) for iou, count in counts.items()}
        shares = {f"{iou:g}": of_boxes.share for iou, of_boxes in found.items()}
        lines[name] = {"share": shares, "anchors_a_box": found[MATCH].anchors_a_box}
    return {"anchors": _fields(spec.anchors), "matched": lines}


def _fields(anchors: Anchors) -> dict[str, Any]:
    """Return the anchors' fields as a plan or a design writes them."""
    return {"scale": anchors.scale, "octaves": anchors.octaves, "aspects": [list(pair) for pair in anchors.aspects]}
