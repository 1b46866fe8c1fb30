"""Boxes from polygons and masks."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask

from scalesearch.data.outlines import fill_boxes, outline_box

PAINTED = np.zeros((20, 30), dtype=np.uint8)
PAINTED[4:9, 7:19] = 1


def test_polygons_may_be_several_or_one_flat_list() -> None:
    assert outline_box([[1, 2, 9, 2, 9.5, 8], [3, 1, 4, 1, 4, 2]]) == [1, 1, 8.5, 7]
    assert outline_box([1, 2, 9, 2, 9, 8]) == [1, 2, 8, 6]


def test_a_mask_has_the_box_of_its_pixels() -> None:
    packed = mask.encode(np.asfortranarray(PAINTED))
    counts, value, run = [], 0, 0
    for pixel in PAINTED.T.ravel().tolist():
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    counts.append(run)
    assert outline_box({"size": [20, 30], "counts": packed["counts"].decode()}) == [7, 4, 12, 5]
    assert outline_box({"size": [20, 30], "counts": counts}) == [7, 4, 12, 5]


@pytest.mark.parametrize(
    "outline",
    [
        None,
        [],
        [[]],
        [[1, 2, 3]],
        [["1", 2, 3, 4]],
        [[1, 2, float("nan"), 4]],
        "1 2 3",
        {"size": [20, 30]},
        {"size": [20], "counts": [600]},
        {"size": [20, 30], "counts": [5]},
        {"size": [20, 30], "counts": [700, -100]},
        {"size": [20, 30], "counts": "ooo"},
        {"size": [2**40, 2], "counts": "1"},
        {"size": [20, 30], "counts": "\x00\xff"},
    ],
)
def test_what_is_no_outline_has_no_box(outline: object) -> None:
    assert outline_box(outline) is None


def test_only_missing_boxes_are_filled_and_counted() -> None:
    ring = [[1, 2, 9, 2, 9, 8]]
    objects = [
        {"segmentation": ring},
        {"bbox": [0, 0, 0, 0], "segmentation": ring},
        {"bbox": [3, 3, 1, 1]},
        {"bbox": []},
    ]
    assert fill_boxes(objects) == ("2 of 4 boxes taken from outlines: there were none",)
    assert [item.get("bbox") for item in objects] == [[1, 2, 8, 6], [1, 2, 8, 6], [3, 3, 1, 1], []]
