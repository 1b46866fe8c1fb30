"""Which class is taken for which: a hand-counted case, and what crowds and low scores do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from scalesearch.data.split import Category, Image, Split
from scalesearch.training.confusion import confusion


def split_of(boxes: list[list[float]], labels: list[int], crowd: list[bool] | None = None) -> Split:
    image = Image(
        id=4,
        name="a.png",
        file=Path("a.png"),
        width=100,
        height=100,
        boxes=np.array(boxes, dtype=np.float32).reshape(-1, 4),
        labels=np.array(labels, dtype=np.int64),
        crowd=np.array(crowd or [False] * len(labels), dtype=np.bool_),
        areas=np.ones(len(labels)),
    )
    return Split(name="val", images=(image,), categories=(Category(id=3, name="red"), Category(id=7, name="blue")))


def row(category: int, box: list[float], score: float = 0.9) -> dict[str, Any]:
    return {"image_id": 4, "category_id": category, "bbox": box, "score": score}


def test_a_case_counted_by_hand() -> None:
    split = split_of([[0, 0, 10, 10], [20, 20, 40, 40], [60, 60, 80, 80]], [0, 1, 1])
    results = [
        row(3, [0, 0, 10, 10]),  # right
        row(3, [0, 1, 10, 9], 0.8),  # the same object again: of nothing
        row(3, [20, 20, 20, 20], 0.7),  # blue taken for red
        row(7, [60, 60, 20, 20], 0.1),  # too low a score: the object is missed
        row(7, [0, 50, 10, 10], 0.5),  # of nothing
    ]
    assert confusion(split, results).tolist() == [[1, 0, 0], [1, 0, 1], [1, 1, 0]]
    assert confusion(split, results[::-1]).tolist() == confusion(split, results).tolist()


def test_what_lies_in_a_crowd_is_no_mistake_and_a_crowd_is_not_missed() -> None:
    split = split_of([[0, 0, 50, 50]], [0], [True])
    assert confusion(split, [row(7, [5, 5, 10, 10]), row(7, [70, 70, 10, 10])]).tolist() == [
        [0, 0, 0],
        [0, 0, 0],
        [0, 1, 0],
    ]
    assert confusion(split_of([], []), []).sum() == 0
