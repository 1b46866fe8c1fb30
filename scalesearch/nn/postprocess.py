"""Decoding of a detector's outputs into detections: the box coder and its inverse, selection, suppression.

Imports torch and torchvision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms

if TYPE_CHECKING:
    from scalesearch.nn.detector import Outputs

_LARGEST = math.log(1e4)
"""Cap of the log size factors in decoding, so that an untrained head gives no infinite box."""

LEAST_SCORE = {"hard": 0.0, "soft": 0.001}
"""Suppression methods, with the least score of a detection in each (google/automl nms_np.py)."""


class Detections(NamedTuple):
    """The detections of one image, best first."""

    boxes: Tensor
    """[k, 4] xyxy in input pixels."""
    scores: Tensor
    """[k] in (0, 1)."""
    labels: Tensor
    """[k] int64."""


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Encode boxes [..., 4] xyxy against anchors [..., 4] as deltas (ty, tx, th, tw), no variances (google/automl)."""
    (centre, size), (base, scale) = _centre_size(boxes), _centre_size(anchors)
    shift = (centre - base) / scale
    return torch.cat([shift.flip(-1), (size / scale).log().flip(-1)], dim=-1)


def decode_boxes(deltas: Tensor, anchors: Tensor) -> Tensor:
    """Invert `encode_boxes`: deltas [..., 4] (ty, tx, th, tw) -> boxes [..., 4] xyxy."""
    base, scale = _centre_size(anchors)
    centre = base + deltas[..., :2].flip(-1) * scale
    half = deltas[..., 2:].flip(-1).clamp(max=_LARGEST).exp() * scale / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def _centre_size(boxes: Tensor) -> tuple[Tensor, Tensor]:
    size = boxes[..., 2:] - boxes[..., :2]
    return boxes[..., :2] + size / 2, size


@torch.no_grad()
def detect(
    outputs: Outputs,
    anchors: Tensor,
    size: tuple[int, int],
    *,
    method: str = "hard",
    candidates: int = 5000,
    score: float | None = None,
    iou: float = 0.5,
    sigma: float = 0.5,
    most: int = 100,
) -> list[Detections]:
    """Return the detections of each image of a batch, clipped to the input of `size` (h, w).

    The best `candidates` (anchor, class) pairs with a score above `score` (None: `LEAST_SCORE`) are suppressed within
    each class, and the best `most` of the rest returned (google/automl tf2/postprocess.py). hard: a box that overlaps a
    better one by more than `iou` is removed. soft: each better box multiplies the score by exp(-IoU^2 / sigma)
    (Soft-NMS, Gaussian), and boxes are removed below `score`. Pairs with a NaN score or box are dropped. ValueError for
    another method or an invalid limit.
    """
    _check(method, candidates=candidates, iou=iou, sigma=sigma, most=most)
    least = LEAST_SCORE[method] if score is None else score
    limit = anchors.new_tensor([size[1], size[0], size[1], size[0]])
    found = []
    for logits, deltas in zip(outputs.class_logits.float(), outputs.box_deltas.float(), strict=True):
        values, rows, labels = _best_pairs(logits, candidates, _logit(least))
        boxes = decode_boxes(deltas[rows], anchors[rows]).clamp(min=0).minimum(limit)
        if bool(boxes.isnan().any()):
            # One NaN box would keep others of its class, or all, from being suppressed.
            sound = ~boxes.isnan().any(dim=1)
            boxes, values, labels = boxes[sound], values[sound], labels[sound]
        scores = values.sigmoid()
        if method == "hard":
            kept = _hard(boxes, values, labels, iou, most)
        else:
            kept, scores = _soft(boxes, scores, labels, sigma, least, most)
        found.append(Detections(boxes[kept], scores[kept], labels[kept]))
    return found


def on_host(found: Sequence[Detections]) -> list[Detections]:
    """Return detections on the CPU: by three copies for all images, since the host waits for each."""
    counts = [len(one.scores) for one in found]
    columns = (torch.split(torch.cat(column).cpu(), counts) for column in zip(*found, strict=True))
    return [Detections(*one) for one in zip(*columns, strict=True)]


def _check(method: str, *, candidates: int, iou: float, sigma: float, most: int) -> None:
    """Raise ValueError for arguments with which no suppression is possible."""
    if method not in LEAST_SCORE:
        raise ValueError(f"method must be one of {', '.join(LEAST_SCORE)}, but got {method!r}")
    if not (candidates >= 1 and most >= 1 and 0 <= iou <= 1 and sigma > 0):
        raise ValueError(
            "detections need candidates >= 1, most >= 1, 0 <= iou <= 1 and sigma > 0, "
            f"but got {candidates=}, {most=}, {iou=}, {sigma=}"
        )


def _logit(score: float) -> float:
    if score <= 0:
        return -math.inf
    return math.log(score / (1 - score)) if score < 1 else math.inf


def _best_pairs(logits: Tensor, count: int, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the `count` largest of logits [N, K] above `least`, best first: (values, anchors, classes), each [k]."""
    # The anchor of one of the best `count` pairs is among the best `count` anchors by their best class.
    best = logits.amax(dim=1)
    if bool(best.isnan().any()):
        logits = logits.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
        best = logits.amax(dim=1)
    rows = best.topk(min(count, len(best)), sorted=False).indices
    few = logits[rows]
    if len(few) == count:
        # Each of those anchors has at least one pair, so the last one's best bounds the result: sorting the few pairs
        # above it takes a twentieth of a top-k over all.
        least = max(least, float(best[rows].min().nextafter(best.new_tensor(-math.inf))))
    places = (few > least).flatten().nonzero()[:, 0]
    values, order = few.flatten()[places].sort(descending=True, stable=True)
    values, places = values[:count], places[order[:count]]
    return values, rows[places // logits.shape[1]], places % logits.shape[1]


def _hard(boxes: Tensor, values: Tensor, labels: Tensor, iou: float, most: int) -> Tensor:
    """Return the first `most` boxes after hard suppression; the boxes are sorted, best first."""
    # A box depends only on better ones, so the head of the list does not need its tail.
    count = 4 * most
    while True:
        kept: Tensor = batched_nms(boxes[:count], values[:count], labels[:count], iou)
        if len(kept) >= most or count >= len(boxes):
            return kept[:most]
        count *= 4


def _soft(
    boxes: Tensor, scores: Tensor, labels: Tensor, sigma: float, least: float, most: int
) -> tuple[Tensor, Tensor]:
    """Return positions of the first `most` by Gaussian soft suppression, best first, and all final scores."""
    by_class = labels.argsort(stable=True)
    boxes, current = boxes[by_class], scores[by_class].clone()
    ends = torch.bincount(labels).cumsum(0).tolist()
    areas, final = (boxes[:, 2:] - boxes[:, :2]).prod(1), scores.clone()
    chosen: list[int] = []
    while len(chosen) < min(most, len(boxes)):
        score, place = current.max(0)
        if not score > least:
            break
        i = int(place)
        chosen.append(i)
        final[by_class[i]] = score
        current[i] = 0.0
        label = int(labels[by_class[i]])
        own = slice(ends[label - 1] if label else 0, ends[label])
        current[own] *= _decay(boxes[i], boxes[own], areas[i], areas[own], sigma)
    return by_class[chosen], final


def _decay(box: Tensor, others: Tensor, area: Tensor, areas: Tensor, sigma: float) -> Tensor:
    """Return exp(-IoU^2 / sigma) [k] of one box [4] with others [k, 4]."""
    shared = (torch.minimum(box[2:], others[:, 2:]) - torch.maximum(box[:2], others[:, :2])).clamp(min=0).prod(1)
    overlap = shared / (area + areas - shared).clamp(min=1e-9)
    return (overlap.square() / -sigma).exp()
