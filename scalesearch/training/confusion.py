"""The confusion matrix of a detector: detections and objects are matched by overlap alone, then counted.

Imports pycocotools.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask

from scalesearch.data.split import Image, Split

SCORE, IOU = 0.3, 0.5
"""Least score of a counted detection (as in `predict`), and least IoU of a match."""


def confusion(split: Split, results: Sequence[Mapping[str, Any]]) -> NDArray[np.int64]:
    """Return counts [K + 1, K + 1], annotated class by predicted class, of COCO results on a split.

    Index K is background: its row counts false detections, its column missed objects. The best detection is matched
    first, with the unmatched object that it overlaps most. Crowds are no objects, and detections in one are ignored.
    """
    labels = {category.id: place for place, category in enumerate(split.categories)}
    found: dict[int, list[Mapping[str, Any]]] = {}
    for result in results:
        if result["score"] >= SCORE:
            found.setdefault(result["image_id"], []).append(result)
    pairs: list[tuple[int, int]] = []
    for image in split.images:
        rows = sorted(found.get(image.id, ()), key=lambda result: -result["score"])
        boxes = np.array([row["bbox"] for row in rows], dtype=np.float64).reshape(-1, 4)
        pairs += _matched(image, boxes, [labels[row["category_id"]] for row in rows], len(labels))
    counts = np.zeros((len(labels) + 1, len(labels) + 1), dtype=np.int64)
    for true, predicted in pairs:
        counts[true, predicted] += 1
    return counts


def _matched(
    image: Image, boxes: NDArray[np.float64], classes: Sequence[int], background: int
) -> list[tuple[int, int]]:
    """Return (annotated, predicted) for each detection (boxes xywh, best first) and each missed object."""
    truth = image.boxes.astype(np.float64)
    truth[:, 2:] -= truth[:, :2]
    free = ~image.crowd
    overlaps = np.zeros((len(boxes), len(truth)))
    if overlaps.size:
        overlaps = mask.iou(boxes, truth, image.crowd.astype(np.uint8).tolist())
    pairs = []
    for row, label in zip(overlaps, classes, strict=True):
        best = int(np.argmax(np.where(free, row, -1.0))) if free.any() else -1
        if best >= 0 and row[best] >= IOU:
            free[best] = False
            pairs.append((int(image.labels[best]), label))
        elif not (row[image.crowd] >= IOU).any():
            pairs.append((background, label))
    return pairs + [(label, background) for label in image.labels[free].tolist()]
