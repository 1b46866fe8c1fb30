"""The input size and the feature levels that a data set asks for, by the sizes of its boxes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from scalesearch.arch.networks import fpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.data.pixels import split_targets
from scalesearch.data.split import Split
from scalesearch.data.summary import DataSummary
from scalesearch.nn.anchors import MARGIN, class_coverage, fit_anchors

SMALL_BOX, SMALL_SHARE = 16, 0.1
"""The input is as large as makes all but this share of the boxes, each class counted alike, at least so many pixels
large: two cells of level 3."""
STEP = 32
"""Stride of the backbone's last map: with multiples of it no map is cut."""
LEAST, MOST_CPU, MOST_GPU = 256, 384, 768
"""Longest sides: the weights were trained at 224; a step's time grows with the square."""
LOWEST, HIGHEST = 3, 7
"""EfficientDet's levels."""


@dataclass(frozen=True, kw_only=True)
class StarterInput:
    """The input of all candidates of a starter plan."""

    longer: int
    """The longer side in pixels."""
    aspect: float
    """Height / width."""
    wanted: int
    """The longer side by SMALL_BOX alone, before its limits."""
    min_level: int
    max_level: int
    anchors: Anchors
    """Those that a search will fit, or nearly: it fits them again at these levels."""
    matched: float
    """Share of the boxes that an anchor overlaps by IoU 0.5, as the mean over classes."""
    matched_without: float
    """The same over the levels LOWEST .. HIGHEST."""

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        if self.aspect <= 1:
            return round(self.longer * self.aspect), self.longer
        return self.longer, round(self.longer / self.aspect)


def starter_input(summary: DataSummary, split: Split, *, gpu: bool) -> StarterInput:
    """Return the input for the data; the levels are the fewest whose anchors match nearly as many boxes as any do."""
    wanted = _up(SMALL_BOX / summary.side(SMALL_SHARE))
    most = min(MOST_GPU if gpu else MOST_CPU, max(LEAST, _up(max(summary.width, summary.height))))
    longer = min(max(wanted, LEAST), most)
    shape = summary.shape or 1.0
    shorter = min(longer, _up(longer * min(shape, 1 / shape)))
    aspect = round(shorter / longer if shape <= 1 else longer / shorter, 4)
    chosen = StarterInput(
        longer=longer,
        aspect=aspect,
        wanted=wanted,
        min_level=LOWEST,
        max_level=HIGHEST,
        anchors=Anchors(),
        matched=0.0,
        matched_without=0.0,
    )
    return _with_levels(chosen, split)


def _with_levels(chosen: StarterInput, split: Split) -> StarterInput:
    boxes, labels = split_targets(split, chosen.size)

    def fitted(low: int) -> DetectorSpec:
        spec = dataclasses.replace(named("d0", size=chosen.size), topology=fpn(low, HIGHEST))
        return dataclasses.replace(spec, anchors=fit_anchors(boxes, labels, spec))

    def matched(spec: DetectorSpec) -> float:
        shares = [one.share for one in class_coverage(spec, boxes, labels, len(split.categories))]
        known = [share for share in shares if share is not None]
        return sum(known) / len(known)

    spec = fitted(LOWEST)
    without = most = matched(spec)
    if without < 1 - MARGIN and (finer := matched(fine := fitted(LOWEST - 1))) > without + MARGIN:
        spec, most = fine, finer
    low = spec.topology.min_level
    by_top = {high: matched(dataclasses.replace(spec, topology=fpn(low, high))) for high in range(low + 2, HIGHEST + 1)}
    high = min(high for high, share in by_top.items() if share >= most - MARGIN)
    return dataclasses.replace(
        chosen,
        min_level=low,
        max_level=high,
        anchors=spec.anchors,
        matched=by_top[high],
        matched_without=without,
    )


def _up(side: float) -> int:
    return max(1, math.ceil(side / STEP - 1e-9)) * STEP
