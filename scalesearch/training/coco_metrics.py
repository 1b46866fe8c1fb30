"""The twelve COCO metrics of a list of detections, by faster-coco-eval (its test compares with pycocotools)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

NUMBERS = (
    "ap",
    "ap50",
    "ap75",
    "ap_small",
    "ap_medium",
    "ap_large",
    "ar1",
    "ar10",
    "ar100",
    "ar_small",
    "ar_medium",
    "ar_large",
)
"""COCO's twelve metrics, in its order."""

_ALL = slice(None)
_CUTS: dict[str, tuple[Any, int]] = {
    "ap": (_ALL, 0),
    "ap50": (0, 0),
    "ap75": (5, 0),
    "ap_small": (_ALL, 1),
    "ap_medium": (_ALL, 2),
    "ap_large": (_ALL, 3),
}
"""The first six metrics: index among the ten IoUs and the four areas of the evaluator's table."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics in 0..1; None where there is no object to find (COCO's -1)."""

    numbers: dict[str, float | None]
    """Metric by name, one of NUMBERS."""
    per_class: dict[str, float | None]
    """AP by category name."""
    classes: dict[str, dict[str, float | None]] = field(default_factory=dict)
    """The first six of NUMBERS by category name."""
    curves: dict[str, list[float]] = field(default_factory=dict)
    """Precision at IoU 0.5 at RECALLS, by category name, for categories with objects."""


RECALLS = np.linspace(0, 1, 101)
"""Recalls at which COCO evaluates the precision."""


def coco_numbers(truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> Evaluation:
    """Evaluate COCO results (`image_id`, `category_id`, `bbox` xywh, `score`) against a COCO dictionary.

    Boxes are in the images' own pixels. Without results AP is 0, a case that the evaluators refuse.
    """
    results = [dict(result) for result in results] or _nothing(truth)
    if not results:
        names = [category["name"] for category in truth["categories"]]
        classes = {name: dict.fromkeys(_CUTS) for name in names}
        return Evaluation(numbers=dict.fromkeys(NUMBERS), per_class=dict.fromkeys(names), classes=classes)
    with contextlib.redirect_stdout(io.StringIO()):
        # Copies, since the evaluators modify their input.
        known = COCO({"info": {}, **truth, "annotations": [dict(item) for item in truth["annotations"]]})
        evaluator = COCOeval_faster(known, known.loadRes(results), iouType="bbox", print_function=_silent)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    numbers = {name: _number(value) for name, value in zip(NUMBERS, evaluator.stats[:12], strict=True)}
    precision = evaluator.eval["precision"][..., -1]  # [T, R, K, A, M]: 100 detections
    known_as = {category["id"]: category["name"] for category in truth["categories"]}
    classes = {
        known_as[id_]: {name: _mean(precision[iou, :, k, area]) for name, (iou, area) in _CUTS.items()}
        for k, id_ in enumerate(evaluator.params.catIds)
    }
    curves = {known_as[id_]: precision[0, :, k, 0].tolist() for k, id_ in enumerate(evaluator.params.catIds)}
    return Evaluation(
        numbers=numbers,
        per_class={name: found["ap"] for name, found in classes.items()},
        classes=classes,
        curves={name: curve for name, curve in curves.items() if min(curve) >= 0},
    )


def _nothing(truth: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return one detection that matches nothing, to stand for none; [] where the truth has no image or category."""
    if not truth["images"] or not truth["categories"]:
        return []
    image, category = truth["images"][0]["id"], truth["categories"][0]["id"]
    return [{"image_id": image, "category_id": category, "bbox": [-2.0, -2.0, 1.0, 1.0], "score": 0.0}]


def _mean(values: np.ndarray[Any, Any]) -> float | None:
    values = values[values > -1]
    return float(values.mean()) if values.size else None


def _number(value: float) -> float | None:
    return None if value < 0 else float(value)


def _silent(*_: object) -> None:
    pass
