"""Anchor boxes of a spec, their matches with objects, and a rule that fits anchors to a data set.

Imports arch and torch.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from scalesearch.arch.spec import Anchors, DetectorSpec

MATCH = 0.5
"""IoU from which an anchor is assigned a box (EfficientDet's assignment, without a band of ignored anchors)."""

ENOUGH = 8
"""Number of matching anchors beyond which one more helps a box little: the cap in `fit_anchors`' score."""

MARGIN = 0.02
"""Least gain in score that justifies a costlier or less usual choice."""

SCALES = (4.0, 3.0, 5.0, 2.5, 2.0, 1.5, 6.0, 1.0)
"""Scales that `fit_anchors` tries, the published one first."""

LONG = 6.75
"""Aspect ratio r from which no anchor of ratio 3 reaches IoU 0.5: its best is x / (2 - x), x = sqrt(3 / r)."""

_SAMPLE = 1000


def anchor_boxes(
    spec: DetectorSpec, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return anchors [N, 4] xyxy in input pixels, in the order of the detector's outputs.

    The order is levels from fine to coarse, then y, x, and in each cell octave-major then aspect (google/automl
    anchors.py). The stride of an axis is size / map size, so that a map's cells cover the image where 2**level does not
    divide it.
    """
    levels = [_level_boxes(spec, level) for level in spec.levels]
    return torch.cat(levels).to(device=device, dtype=dtype)


def _level_boxes(spec: DetectorSpec, level: int) -> Tensor:
    (height, width), (rows, columns) = spec.size, spec.map_size(level)
    stride = torch.tensor([width / columns, height / rows], dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    centres = (torch.stack([x, y], dim=-1).reshape(-1, 1, 2) + 0.5) * stride
    half = _shapes(spec.anchors) * stride / 2
    return torch.cat([centres - half, centres + half], dim=-1).reshape(-1, 4)


def _shapes(anchors: Anchors) -> Tensor:
    """Return the width and height [A, 2] of a cell's anchors, in strides."""
    octaves = [anchors.scale * 2 ** (k / anchors.octaves) for k in range(anchors.octaves)]
    return torch.tensor([[s * a, s * b] for s in octaves for a, b in anchors.aspects], dtype=torch.float64)


def pairwise_iou(first: Tensor, second: Tensor) -> Tensor:
    """Return the IoU [..., M, N] of boxes [..., M, 4] and [N, 4]; 0 where a box has no area."""
    # By coordinate and in place: half the time of torchvision's box_iou, which works on [..., M, N, 2].
    a, b = first.unsqueeze(-2).unbind(-1), second.unbind(-1)
    width = torch.minimum(a[2], b[2]).sub_(torch.maximum(a[0], b[0])).clamp_(min=0)
    shared = torch.minimum(a[3], b[3]).sub_(torch.maximum(a[1], b[1])).clamp_(min=0).mul_(width)
    area = (a[2] - a[0]) * (a[3] - a[1])
    union = torch.add(area, (b[2] - b[0]) * (b[3] - b[1]), out=width).sub_(shared).clamp_(min=1e-9)
    return shared.div_(union)


def match_counts(spec: DetectorSpec, boxes: Tensor, iou: float = MATCH) -> Tensor:
    """Return for boxes [n, 4] (xyxy, input pixels) the number [n] of the spec's anchors with IoU >= `iou`.

    The count is exact and lists no anchors: the overlap of a box with the anchors of one shape is a product of a factor
    per column and a factor per row.
    """
    boxes, count = boxes.double(), torch.zeros(len(boxes), dtype=torch.int64)
    for level in spec.levels:
        (height, width), (rows, columns) = spec.size, spec.map_size(level)
        stride = torch.tensor([width / columns, height / rows], dtype=torch.float64)
        shapes = _shapes(spec.anchors) * stride
        sides = boxes[:, 2:] - boxes[:, :2]
        # IoU >= t where the shared area is at least t / (1 + t) of the sum of areas; most shapes cannot reach that.
        needed = (sides.prod(1)[:, None] + shapes.prod(1)) * (iou / (1 + iou))
        row, shape = (torch.minimum(sides[:, None], shapes).prod(2) >= needed).nonzero(as_tuple=True)
        step = max(1, 4_000_000 // (rows * columns))
        for i, a in ((row[k : k + step], shape[k : k + step]) for k in range(0, len(row), step)):
            across = _shared(boxes[i, 0], boxes[i, 2], shapes[a, 0], columns, float(stride[0]))
            down = _shared(boxes[i, 1], boxes[i, 3], shapes[a, 1], rows, float(stride[1]))
            hit = down[:, :, None] * across[:, None] >= needed[i, a, None, None]
            count.index_add_(0, i, hit.sum(dim=(1, 2)))
    return count


def _shared(low: Tensor, high: Tensor, side: Tensor, cells: int, stride: float) -> Tensor:
    """Return the overlap [p, cells] of intervals low .. high [p] with intervals of length `side` [p] at each cell."""
    centre = (torch.arange(cells, dtype=torch.float64) + 0.5) * stride
    left = torch.maximum(low[:, None], centre - side[:, None] / 2)
    return (torch.minimum(high[:, None], centre + side[:, None] / 2) - left).clamp(min=0)


class Coverage(NamedTuple):
    """How well anchors can match some boxes."""

    boxes: int
    share: float | None
    """Share of the boxes that an anchor overlaps enough; None without boxes."""
    anchors_a_box: float | None
    """Mean number of anchors that overlap a box enough."""


def coverage(counts: Tensor) -> Coverage:
    """Return the coverage of the boxes whose `match_counts` [n] are given."""
    if not len(counts):
        return Coverage(0, None, None)
    return Coverage(len(counts), float((counts > 0).double().mean()), float(counts.double().mean()))


def class_coverage(
    spec: DetectorSpec, boxes: Tensor, labels: Tensor, classes: int, iou: float = MATCH
) -> list[Coverage]:
    """Return the `coverage` of each class's boxes at an overlap of at least `iou`.

    Args: boxes [n, 4] xyxy in input pixels, labels [n] in 0 .. classes - 1.
    """
    counts = match_counts(spec, boxes, iou)
    return [coverage(counts[labels == k]) for k in range(classes)]


def fit_anchors(boxes: Tensor, labels: Tensor, spec: DetectorSpec) -> Anchors:
    """Return anchors that match the boxes [n, 4] (xyxy, input pixels) of classes `labels` [n].

    A box scores min(m, ENOUGH) / ENOUGH, where m anchors overlap it by IoU 0.5 or more. A set of anchors scores the
    mean over classes of the mean over their boxes. So a box without an anchor scores 0, and one with few scores in
    part: a small scale moves boxes to coarser levels, which have few cells; the matched share alone does not show it.

    Candidates are SCALES, octaves (3, then 4) and aspects (ratios 1, 2, 1/2, then 1, 3, 1/3). The best score wins, but
    the published anchors stay unless they lose by MARGIN, and other aspects and more octaves must each gain MARGIN over
    the best without them. Ratios up to 3 do not reach boxes longer than LONG; where these have MARGIN of the weight or
    more, ratios of 6, 12 and 24 are tried too. Without boxes the spec's own anchors are returned.
    """
    if not len(boxes):
        return spec.anchors
    boxes, weights = _sample(boxes.double(), labels)
    best, best_score = Anchors(), _score(Anchors(), boxes, weights, spec)
    sides = boxes[:, 2:] - boxes[:, :2]
    long = float(weights[sides.amax(1) > LONG * sides.amin(1)].sum()) >= MARGIN
    for group in _candidates((3, 6, 12, 24) if long else (3,)):
        scored = [(_score(anchors, boxes, weights, spec), anchors) for anchors in group]
        score, anchors = max(scored, key=lambda pair: pair[0])
        if score > best_score + MARGIN:
            best, best_score = anchors, score
    return best


def _candidates(ratios: tuple[int, ...]) -> Iterator[list[Anchors]]:
    wide = [((1.0, 1.0), (r**0.5, r**-0.5), (r**-0.5, r**0.5)) for r in ratios]
    for octaves, aspects in itertools.product((3, 4), (Anchors().aspects, *wide)):
        yield [Anchors(scale=scale, octaves=octaves, aspects=aspects) for scale in SCALES]


def _sample(boxes: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return about _SAMPLE boxes at most, even over classes and over sizes within a class; weights that sum to 1."""
    kinds = sorted(set(labels.tolist()))
    most = max(8, _SAMPLE // len(kinds))
    chosen, weights = [], []
    for kind in kinds:
        own = boxes[labels == kind]
        own = own[(own[:, 2:] - own[:, :2]).prod(dim=1).argsort(stable=True)]
        pick = torch.linspace(0, len(own) - 1, min(most, len(own))).round().long()
        chosen.append(own[pick])
        weights.append(torch.full((len(pick),), 1 / len(pick) / len(kinds), dtype=torch.float64))
    return torch.cat(chosen), torch.cat(weights)


def _score(anchors: Anchors, boxes: Tensor, weights: Tensor, spec: DetectorSpec) -> float:
    count = match_counts(dataclasses.replace(spec, anchors=anchors), boxes)
    return float((count.clamp(max=ENOUGH) / ENOUGH * weights).sum())
