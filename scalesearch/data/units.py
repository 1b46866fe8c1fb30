"""Checks that boxes are COCO's, corner and size in pixels of their image, and not of other units or forms.

Standard library and NumPy. One box proves nothing, but all boxes of a file together do: what cannot be chance is
refused, what is only likely gives a note.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scalesearch.data.split import DataError

_FEW = 8
"""Least number of boxes for a form to be more than chance."""
_MANY = 50
"""Least number of boxes for their reach across the image to show another image size."""


def check_units(boxes: NDArray[np.float64], sizes: NDArray[np.float64], place: Path) -> tuple[str, ...]:
    """Return notes on boxes [n, 4] as annotated, with their images' (width, height) [n, 2].

    DataError where half of the boxes or more lie in 0..1, or where all are corners [x1, y1, x2, y2].
    """
    whole = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1) & (np.abs(boxes) < 1e9).all(axis=1)
    boxes, sizes = boxes[whole], sizes[whole]
    if not len(boxes):
        return ()
    relative = _relative(boxes, sizes, place)
    over = _over(boxes[:, :2] + boxes[:, 2:], sizes)
    _check_corners(boxes, sizes, over, place)
    return tuple(note for note in (relative, _centres(boxes, sizes, over), _other_size(boxes, sizes)) if note)


def _over(ends: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each box ends beyond its image, by more than the rounding of tools."""
    beyond: NDArray[np.bool_] = np.any(ends > sizes + 1.0, axis=1)
    return beyond


def _relative(boxes: NDArray[np.float64], sizes: NDArray[np.float64], place: Path) -> str:
    """Return a note on boxes within 0..1, which lie in their image's first pixel; DataError where half or more do."""
    ends = boxes[:, :2] + boxes[:, 2:]
    inside = (boxes[:, :2] > -0.5).all(axis=1) & (ends < 1.001).all(axis=1) & (sizes > 2).all(axis=1)
    # Boxes given by centres in 0..1 may end beyond 1.
    centred = (boxes > 0).all(axis=1) & (boxes <= 1).all(axis=1) & (sizes > 2).all(axis=1)
    count = int((inside | centred).sum())
    if 2 * count >= len(boxes):
        raise DataError(
            f"boxes must be in pixels, but {count} of {len(boxes)} in {place} lie within 0..1, as relative units do: "
            "multiply x and width by the image's width, y and height by its height."
        )
    return f"{count} of {len(boxes)} boxes kept: within 0..1 (relative units, beside pixels?)" if count else ""


def _check_corners(
    boxes: NDArray[np.float64], sizes: NDArray[np.float64], over: NDArray[np.bool_], place: Path
) -> None:
    """Refuse boxes that all make sense as two corners while many do not as corner and size.

    A width greater than the left edge in every box is no chance.
    """
    ordered = (boxes[:, 2:] > boxes[:, :2]).all() and not _over(boxes[:, 2:], sizes).any()
    if ordered and len(boxes) >= _FEW and 10 * over.sum() >= len(boxes):
        raise DataError(
            f"bbox must be [x, y, width, height], but as such {int(over.sum())} of {len(boxes)} boxes in {place} leave "
            "their image, and as [x1, y1, x2, y2] none does: write x2 - x1 and y2 - y1 in place of x2 and y2."
        )


def _centres(boxes: NDArray[np.float64], sizes: NDArray[np.float64], over: NDArray[np.bool_]) -> str:
    """Return a note where all boxes fit their image with x, y as the middle (YOLO's form) and some do not as corner."""
    half = boxes[:, 2:] / 2
    fit = (boxes[:, :2] - half > -1.0).all() and not _over(boxes[:, :2] + half, sizes).any()
    if not (fit and len(boxes) >= _FEW and over.sum() >= max(3, len(boxes) / 50)):
        return ""
    return (
        f"{int(over.sum())} of {len(boxes)} boxes leave their image, and none would if x, y were the box's middle: COCO "
        "has its top left corner there"
    )


def _other_size(boxes: NDArray[np.float64], sizes: NDArray[np.float64]) -> str:
    """Return a note where no box is near the right or lower edge: percentages, or boxes of a smaller copy of images."""
    if len(boxes) < _MANY:
        return ""
    across, down = ((boxes[:, :2] + boxes[:, 2:]) / sizes).max(axis=0)
    if max(across, down) > 0.6:
        return ""
    return (
        f"no box reaches beyond {across:.0%} of the width and {down:.0%} of the height of its image: are they of images "
        "of another size, or percentages?"
    )
