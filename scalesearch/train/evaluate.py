"""The twelve COCO numbers of a list of detections, by faster-coco-eval (pycocotools is the oracle in its test)."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
"""COCO's twelve, in its order."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Numbers in 0..1; None where there is no object to find (COCO's -1)."""

    numbers: dict[str, float | None]
    """By the names of NUMBERS."""
    per_class: dict[str, float | None]
    """AP by category name."""


def coco_numbers(truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]]) -> Evaluation:
    """Evaluates COCO results (`image_id`, `category_id`, `bbox` xywh, `score`) against a COCO dictionary.

    Boxes are in the images' own pixels. No results at all is AP 0, which the evaluators refuse to say.
    """
    results = [dict(result) for result in results] or _nothing(truth)
    if not results:
        return Evaluation(numbers=dict.fromkeys(NUMBERS), per_class={c["name"]: None for c in truth["categories"]})
    with contextlib.redirect_stdout(io.StringIO()):
        # Copies: the evaluators write into what they are given.
        known = COCO({"info": {}, **truth, "annotations": [dict(item) for item in truth["annotations"]]})
        evaluator = COCOeval_faster(known, known.loadRes(results), iouType="bbox", print_function=_silent)
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    numbers = {name: _number(value) for name, value in zip(NUMBERS, evaluator.stats[:12], strict=True)}
    # [T, R, K, A, M]: area "all", 100 detections.
    precision = evaluator.eval["precision"][:, :, :, 0, -1]
    names = {category["id"]: category["name"] for category in truth["categories"]}
    per_class = {names[id_]: _mean(precision[:, :, k]) for k, id_ in enumerate(evaluator.params.catIds)}
    return Evaluation(numbers=numbers, per_class=per_class)


def _nothing(truth: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One detection that finds nothing, to stand for none; [] where the truth has no image or category."""
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
