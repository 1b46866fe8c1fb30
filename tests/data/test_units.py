"""Boxes in other units or forms than COCO's: refused where that is sure, a line where it is likely, else silence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from scalesearch.data.split import DataError
from scalesearch.data.units import check_units

Boxes = NDArray[np.float64]
PLACE = Path("instances_train.json")


def boxes(count: int, seed: int = 0, side: float = 0.3) -> tuple[Boxes, Boxes]:
    """Boxes xywh of up to `side` of their image anywhere in it, with the images' sizes."""
    rng = np.random.Generator(np.random.PCG64(seed))
    sizes = rng.integers(100, 900, (count, 2)).astype(float)
    extents = sizes * rng.uniform(0.02, side, (count, 2))
    return np.concatenate([rng.uniform(0, 1, (count, 2)) * (sizes - extents), extents], axis=1), sizes


def relative(xywh: Boxes, sizes: Boxes) -> Boxes:
    return xywh / np.tile(sizes, 2)


def centred(xywh: Boxes, sizes: Boxes) -> Boxes:
    return np.concatenate([xywh[:, :2] + xywh[:, 2:] / 2, xywh[:, 2:]], axis=1)


def corners(xywh: Boxes, sizes: Boxes) -> Boxes:
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


@pytest.mark.parametrize("count", [1, 8, 500])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("side", [0.1, 0.9])
def test_what_coco_has_is_taken_in_silence(count: int, seed: int, side: float) -> None:
    """Also boxes over the edge by half their side, as tools write that do not clip: those are counted elsewhere."""
    xywh, sizes = boxes(count, seed, side)
    assert check_units(xywh, sizes, PLACE) == ()
    xywh[:, 0] += np.where(np.arange(count) % 7 == 0, sizes[:, 0] - xywh[:, 0] - xywh[:, 2] / 2, 0)
    xywh[:: max(3, count // 20), :2] = 0  # and some lie at the left and upper edge
    assert check_units(xywh, sizes, PLACE) == ()


@pytest.mark.parametrize("form", [relative, lambda b, s: relative(centred(b, s), s)])
@pytest.mark.parametrize("count", [1, 200])
def test_relative_boxes_are_refused_with_the_mend(form: Callable[[Boxes, Boxes], Boxes], count: int) -> None:
    with pytest.raises(DataError, match=f"boxes must be in pixels, but {count} of {count} in .* multiply x and width"):
        check_units(form(*boxes(count)), boxes(count)[1], PLACE)


def test_some_relative_boxes_among_others_are_noted() -> None:
    xywh, sizes = boxes(200)
    mixed = np.where(np.arange(200)[:, None] < 30, relative(xywh, sizes), xywh)
    (note,) = check_units(mixed, sizes, PLACE)
    assert note.startswith("30 of 200 boxes kept: within 0..1")


def test_relative_with_a_few_broken_ones_are_refused() -> None:
    xywh, sizes = boxes(50)
    bad = relative(xywh, sizes)
    bad[:3] = [[np.nan, 0, 1, 1], [0, 0, 0, 1], [0, 0, np.inf, 1]]
    with pytest.raises(DataError, match="47 of 47"):
        check_units(bad, sizes, PLACE)


@pytest.mark.parametrize("seed", range(5))
def test_two_corners_are_refused_with_the_mend(seed: int) -> None:
    xywh, sizes = boxes(60, seed)
    with pytest.raises(DataError, match=r"as \[x1, y1, x2, y2\] none does: write x2 - x1"):
        check_units(corners(xywh, sizes), sizes, PLACE)


@pytest.mark.parametrize("seed", range(5))
def test_middles_in_place_of_corners_are_noted(seed: int) -> None:
    xywh, sizes = boxes(300, seed)
    (note,) = check_units(centred(xywh, sizes), sizes, PLACE)
    assert "none would if x, y were the box's middle" in note


def test_boxes_of_a_smaller_copy_or_percentages_are_noted() -> None:
    xywh, sizes = boxes(300)
    (note,) = check_units(xywh / 2, sizes, PLACE)
    assert "no box reaches beyond 50% of the width and 50% of the height" in note
    large = np.full_like(sizes, 640)
    (note,) = check_units(relative(xywh, sizes) * 100, large, PLACE)
    assert note.endswith("percentages?")
