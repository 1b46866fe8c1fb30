"""From the detector's outputs to boxes: the box coder and its inverse, selection, suppression.

Imports torch and torchvision.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

if TYPE_CHECKING:
    from scalesearch.nn.detector import Outputs

_LARGEST = math.log(1e4)
"""Cap of the log size factors when decoding, so that an untrained head gives no infinite box."""


class Detections(NamedTuple):
    """What was found in one image, best first."""

    boxes: Tensor
    """[k, 4] xyxy in input pixels."""
    scores: Tensor
    """[k] in (0, 1)."""
    labels: Tensor
    """[k] int64."""


def encode(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Boxes [..., 4] xyxy against anchors [..., 4] -> deltas (ty, tx, th, tw): no variances (google/automl)."""
    (centre, size), (base, scale) = _centre_size(boxes), _centre_size(anchors)
    shift = (centre - base) / scale
    return torch.cat([shift.flip(-1), (size / scale).log().flip(-1)], dim=-1)


def decode(deltas: Tensor, anchors: Tensor) -> Tensor:
    """The inverse of `encode`: deltas [..., 4] (ty, tx, th, tw) -> boxes [..., 4] xyxy."""
    base, scale = _centre_size(anchors)
    centre = base + deltas[..., :2].flip(-1) * scale
    half = deltas[..., 2:].flip(-1).clamp(max=_LARGEST).exp() * scale / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size


def detect(
    outputs: Outputs,
    anchors: Tensor,
    size: tuple[int, int],
    *,
    candidates: int = 5000,
    score: float = 0.0,
    iou: float = 0.5,
    most: int = 100,
) -> list[Detections]:
    """Detections of each image of a batch, clipped to the input of `size` (h, w).

    The best `candidates` pairs of anchor and class above `score`, hard suppression within a class at `iou`, the best
    `most` of what is left (facts of google/automl tf2/postprocess.py; its soft suppression is not used).
    """
    logit = math.log(score / (1 - score)) if score > 0 else -math.inf
    limit = anchors.new_tensor([size[1], size[0], size[1], size[0]])
    found = []
    for logits, deltas in zip(outputs.class_logits.float(), outputs.box_deltas.float(), strict=True):
        scores, rows, labels = _best_pairs(logits, candidates, logit)
        boxes = decode(deltas[rows], anchors[rows]).clamp(min=0).minimum(limit)
        kept = batched_nms(boxes, scores, labels, iou)[:most]
        found.append(Detections(boxes[kept], scores[kept].sigmoid(), labels[kept]))
    return found


def _best_pairs(logits: Tensor, count: int, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """The `count` largest of logits [N, K] above `least`: (values, anchors, classes), each [k]."""
    # An anchor of one of the best `count` pairs is among the best `count` anchors by their best class.
    rows = logits.amax(dim=1).topk(min(count, len(logits))).indices
    values, places = logits[rows].flatten().topk(min(count, len(rows) * logits.shape[1]))
    kept = values > least
    values, places = values[kept], places[kept]
    return values, rows[places // logits.shape[1]], places % logits.shape[1]
