"""The twelve numbers against pycocotools', and the cases that it refuses."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from scalesearch.training.coco_metrics import NUMBERS, coco_numbers

Dictionary = dict[str, Any]


def oracle(truth: Dictionary, results: list[Dictionary]) -> list[float | None]:
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO()
        known.dataset = {"info": {}, **truth}
        known.createIndex()
        evaluator = COCOeval(known, known.loadRes([dict(result) for result in results]), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [None if value < 0 else float(value) for value in evaluator.stats]


def scene(seed: int) -> tuple[Dictionary, list[Dictionary]]:
    """Six images with crowds, one without objects, one without results; categories 1, 3, 7, the last without truth."""
    rng = np.random.default_rng(seed)
    annotations: list[Dictionary] = []
    results: list[Dictionary] = []
    for image in range(1, 7):
        for _ in range(0 if image == 5 else rng.integers(3, 9)):
            box = [*rng.uniform(0, 200, 2), *rng.uniform(5, 150, 2)]
            category, crowd = int(rng.choice([1, 3])), int(rng.random() < 0.2)
            annotation: Dictionary = {"id": len(annotations) + 1, "image_id": image, "category_id": category}
            annotation |= {"bbox": [float(v) for v in box], "area": float(box[2] * box[3]), "iscrowd": crowd}
            annotations.append(annotation)
            for _ in range(0 if image == 6 else rng.integers(0, 4)):
                moved = [float(v + rng.normal(0, 6)) for v in box[:2]]
                moved += [float(v * rng.uniform(0.8, 1.2)) for v in box[2:]]
                guess = int(rng.choice([category, category, 1, 3, 7]))
                results.append({"image_id": image, "category_id": guess, "bbox": moved, "score": float(rng.random())})
    results.append({"image_id": 5, "category_id": 1, "bbox": [0.0, 0.0, 50.0, 50.0], "score": 0.9})
    truth = {
        "images": [{"id": i, "width": 400, "height": 400, "file_name": f"{i}.jpg"} for i in range(1, 7)],
        "categories": [{"id": i, "name": f"class {i}"} for i in (1, 3, 7)],
        "annotations": annotations,
    }
    return truth, results


@pytest.mark.parametrize("seed", range(4))
def test_same_twelve_numbers_as_pycocotools(seed: int) -> None:
    truth, results = scene(seed)
    evaluation = coco_numbers(truth, results)
    wanted = oracle(truth, results)
    assert list(evaluation.numbers) == list(NUMBERS)
    assert list(evaluation.numbers.values()) == pytest.approx(wanted, abs=1e-12)
    assert 0 < (evaluation.numbers["ap"] or 0) < 1


def test_ap_is_the_mean_over_classes_with_truth() -> None:
    evaluation = coco_numbers(*scene(0))
    assert evaluation.per_class["class 7"] is None
    known = [ap for ap in evaluation.per_class.values() if ap is not None]
    assert evaluation.numbers["ap"] == pytest.approx(sum(known) / 2)


def test_no_detections_is_ap_0() -> None:
    truth, _ = scene(0)
    evaluation = coco_numbers(truth, [])
    assert evaluation.numbers["ap"] == 0 and evaluation.numbers["ar100"] == 0
    assert evaluation.per_class == {"class 1": 0.0, "class 3": 0.0, "class 7": None}


def test_no_truth_is_none() -> None:
    truth, results = scene(0)
    for found in (results, []):
        evaluation = coco_numbers({**truth, "annotations": []}, found)
        assert set(evaluation.numbers.values()) == {None}
        assert set(evaluation.per_class.values()) == {None}
    assert set(coco_numbers({"images": [], "annotations": [], "categories": []}, []).numbers.values()) == {None}


def test_a_size_without_objects_is_none() -> None:
    truth, results = scene(0)
    large = [{**annotation, "area": 2e4, "iscrowd": 0} for annotation in truth["annotations"]]
    numbers = coco_numbers({**truth, "annotations": large}, results).numbers
    assert numbers["ap_small"] is None and numbers["ap_medium"] is None
    assert numbers["ap_large"] is not None


def test_the_truth_itself_is_ap_1_and_inputs_stay_as_they_are() -> None:
    truth, _ = scene(1)
    mine = [{**a, "score": 0.5} for a in truth["annotations"] if not a["iscrowd"]]
    before = repr((truth, mine))
    assert coco_numbers(truth, mine).numbers["ap"] == pytest.approx(1.0)
    assert repr((truth, mine)) == before
