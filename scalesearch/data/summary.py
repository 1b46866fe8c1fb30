"""What a data set holds, in the numbers that choose a detector's input: images, classes, sizes and shapes of boxes.

Imports NumPy and `data`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalesearch.data.sets import Data
from scalesearch.data.split import Image

SMALL, LARGE = 32**2, 96**2
"""COCO's areas: below the first a box is small, from the second on it is large."""
LONG = 3.0
"""Ratio of a box's sides from which it counts as long."""
_ALIKE, _MOST = 0.05, 0.9
"""Images have one shape if this share of them is that near to the median height / width."""


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSummary:
    """The images that a study trains and selects on, with their n boxes; crowds are left out."""

    images: int
    empty: int
    """Images without a box."""
    train: int
    """Images that the search trains on."""
    select: int
    val: int
    width: int
    """Median of the images' widths, in pixels."""
    height: int
    shape: float | None
    """Height / width, where nearly all images have the same; else None."""
    classes: tuple[tuple[str, int], ...]
    """Each class with its number of boxes."""
    sides: NDArray[np.float64]
    """[n] the root of a box's area, as a share of the longer side of its image."""
    ratios: NDArray[np.float64]
    """[n] the longer side of a box by its shorter one."""
    weights: NDArray[np.float64]
    """[n] weights by which each class counts as much as any other, as in AP; they sum to 1."""

    def side(self, share: float) -> float:
        """Return the side below which this weighted share of the boxes lies, as a share of the image's longer side."""
        order = np.argsort(self.sides, kind="stable")
        place = int(np.searchsorted(np.cumsum(self.weights[order]), share - 1e-9))
        return float(self.sides[order][min(place, len(order) - 1)])

    def small_medium_large(self, longer: int) -> tuple[float, float, float]:
        """Return the shares of boxes that are small, medium and large where the longer side has this many pixels."""
        areas = (self.sides * longer) ** 2
        small, large = float((areas < SMALL).mean()), float((areas >= LARGE).mean())
        return small, 1.0 - small - large, large

    @property
    def long(self) -> float:
        """The share of boxes whose sides differ by LONG or more."""
        return float((self.ratios >= LONG).mean())


def summarised(data: Data) -> DataSummary:
    """Return the summary of the images of train and select; of val only the number of images is used."""
    images = data.train.images + (() if data.select is data.val else data.select.images)
    boxes = [image.boxes[~image.crowd].astype(np.float64) for image in images]
    sizes = [np.maximum(one[:, 2:] - one[:, :2], 1e-6) for one in boxes]
    labels = np.concatenate([image.labels[~image.crowd] for image in images])
    counts = np.bincount(labels, minlength=len(data.train.categories))
    longer = np.repeat([max(image.width, image.height) for image in images], [len(one) for one in boxes])
    both = np.concatenate(sizes)
    return DataSummary(
        images=len(images),
        empty=sum(not len(one) for one in boxes),
        train=len(data.train.images),
        select=len(data.select.images),
        val=len(data.val.images),
        width=round(float(np.median([image.width for image in images]))),
        height=round(float(np.median([image.height for image in images]))),
        shape=_shape(images),
        classes=tuple((c.name, int(count)) for c, count in zip(data.train.categories, counts, strict=True)),
        sides=np.sqrt(both.prod(axis=1)) / longer,
        ratios=both.max(axis=1) / both.min(axis=1),
        weights=1 / (counts[labels] * np.count_nonzero(counts)),
    )


def _shape(images: Sequence[Image]) -> float | None:
    shapes = np.array([image.height / image.width for image in images])
    middle = float(np.median(shapes))
    return middle if (np.abs(shapes / middle - 1) <= _ALIKE).mean() >= _MOST else None
