"""Decoding of a detector's outputs into detections: the box coder and its inverse, selection, suppression.

Imports torch and torchvision.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torchvision.ops import batched_nms, nms

if TYPE_CHECKING:
    from scalesearch.nn.detector import Outputs

_LARGEST = math.log(1e4)
"""Cap of the log size factors in decoding, so that an untrained head gives no infinite box."""

LEAST_SCORE = {"hard": 0.0, "soft": 0.001}
"""Suppression methods, with the least score of a detection in each (google/automl nms_np.py)."""

AT_ONCE = 2**15
"""Boxes that `together` compares with each other at once: torchvision's kernel takes a bit for each pair, 128 MB."""

LOGITS = 2**26
"""Class logits that `together` copies at once, 256 MB: 14 images of D0, one of D7."""


class Detections(NamedTuple):
    """The detections of one image, best first."""

    boxes: Tensor
    """[k, 4] xyxy in input pixels."""
    scores: Tensor
    """[k] in (0, 1)."""
    labels: Tensor
    """[k] int64."""


@dataclass(frozen=True, kw_only=True)
class Suppression:
    """Which pairs of anchor and class become detections, as `detect` explains."""

    method: str
    candidates: int
    least: float
    iou: float
    sigma: float
    most: int

    def __post_init__(self) -> None:
        """Raise ValueError where no suppression is possible."""
        if self.method not in LEAST_SCORE:
            raise ValueError(f"method must be one of {', '.join(LEAST_SCORE)}, but got {self.method!r}")
        if not (self.candidates >= 1 and self.most >= 1 and 0 <= self.iou <= 1 and self.sigma > 0):
            raise ValueError(
                "detections need candidates >= 1, most >= 1, 0 <= iou <= 1 and sigma > 0, but got candidates="
                f"{self.candidates}, most={self.most}, iou={self.iou}, sigma={self.sigma}"
            )


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
    least = LEAST_SCORE.get(method, 0.0) if score is None else score
    how = Suppression(method=method, candidates=candidates, least=least, iou=iou, sigma=sigma, most=most)
    on_cpu = outputs.class_logits.device.type == "cpu"
    return (one_by_one if on_cpu or method == "soft" else together)(outputs, anchors, size, how)


def one_by_one(outputs: Outputs, anchors: Tensor, size: tuple[int, int], how: Suppression) -> list[Detections]:
    """Return the detections of each image: image by image, with as many boxes as each has."""
    found = []
    for logits, deltas in zip(outputs.class_logits.float(), outputs.box_deltas.float(), strict=True):
        values, rows, labels = _best_pairs(logits, how.candidates, _logit(how.least))
        boxes = _clip(decode_boxes(deltas[rows], anchors[rows]), size)
        if bool(boxes.isnan().any()):
            # One NaN box would keep others of its class, or all, from being suppressed.
            sound = ~boxes.isnan().any(dim=1)
            boxes, values, labels = boxes[sound], values[sound], labels[sound]
        scores = values.sigmoid()
        if how.method == "hard":
            kept = _hard(boxes, values, labels, how.iou, how.most)
        else:
            kept, scores = _soft(boxes, scores, labels, how.sigma, how.least, how.most)
        found.append(Detections(boxes[kept], scores[kept], labels[kept]))
    return found


def together(outputs: Outputs, anchors: Tensor, size: tuple[int, int], how: Suppression) -> list[Detections]:
    """Return the detections of each image after hard suppression, of all images at once and in fixed shapes.

    They are those of `one_by_one`, up to the order of equal scores (benchmarks/check_together.py). The host waits twice
    for any number of images, where one by one it waits six times for each; and again where `most` are not found among
    the best 4 * `most` of an image. On one core of a CPU this takes 75 ms for 8 images of D0 at 256, one by one 25 ms.
    """
    values, rows, labels = _best_pairs_together(outputs.class_logits.float(), how.candidates)
    deltas = outputs.box_deltas.float().gather(1, rows[..., None].expand(-1, -1, 4))
    boxes = _clip(decode_boxes(deltas, anchors[rows]), size)
    sound = (values > _logit(how.least)) & ~boxes.isnan().any(dim=2)
    boxes = torch.where(sound[..., None], boxes, 0)  # without area, it suppresses nothing
    count = 4 * how.most
    while True:
        parts = (torch.split(x[:, :count], max(1, AT_ONCE // count)) for x in (boxes, values, labels))
        kept = torch.cat([_not_suppressed(*part, iou=how.iou) for part in zip(*parts, strict=True)])
        kept &= sound[:, :count]
        kept &= kept.cumsum(1) <= how.most
        found = kept.sum(1)
        short = ((found < how.most) & sound[:, count:].any(1)).any()
        *counts, more = torch.cat([found, short[None]]).tolist()
        if not more:
            break
        count *= 4
    places = kept.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, : how.most]
    boxes = boxes.gather(1, places[..., None].expand(-1, -1, 4))
    columns = zip(boxes, values.gather(1, places).sigmoid(), labels.gather(1, places), counts, strict=True)
    return [Detections(own[:k], scores[:k], classes[:k]) for own, scores, classes, k in columns]


def _clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Clip boxes [..., 4] xyxy to an input of `size` (h, w), in place. Numbers as limits need no copy to a GPU."""
    boxes[..., 0::2].clamp_(0, size[1])
    boxes[..., 1::2].clamp_(0, size[0])
    return boxes


def on_host(found: Sequence[Detections]) -> list[Detections]:
    """Return detections on the CPU: by one copy of floats for all images, since the host waits for it. Labels < 2^24."""
    boxes, scores, labels = (torch.cat(column) for column in zip(*found, strict=True))
    rows = torch.cat([boxes, scores[:, None], labels[:, None].to(boxes.dtype)], 1).cpu()
    own = torch.split(rows, [len(one.scores) for one in found])
    return [Detections(one[:, :4], one[:, 4], one[:, 5].long()) for one in own]


def _logit(score: float) -> float:
    if score <= 0:
        return -math.inf
    return math.log(score / (1 - score)) if score < 1 else math.inf


def _best_pairs(logits: Tensor, count: int, least: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return the `count` largest of logits [N, K] above `least`, best first: (values, anchors, classes), each [k]."""
    # The anchor of one of the best `count` pairs is among the best `count` anchors by their best class.
    best = logits.amax(dim=1)
    if bool(best.isnan().any()):
        logits = _numbers(logits)
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


def _best_pairs_together(logits: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the `count` largest of each image's logits [B, N, K], or all: (values, anchors, classes), each [B, k]."""
    parts = torch.split(logits, max(1, LOGITS // logits[0].numel()))
    best = torch.cat([_numbers(part).amax(dim=2) for part in parts])
    rows = best.topk(min(count, logits.shape[1]), dim=1, sorted=False).indices  # as in `_best_pairs`
    few = _numbers(logits.gather(1, rows[..., None].expand(-1, -1, logits.shape[2]))).flatten(1)
    values, places = few.topk(min(count, few.shape[1]), dim=1)
    return values, rows.gather(1, places // logits.shape[2]), places % logits.shape[2]


def _numbers(logits: Tensor) -> Tensor:
    """Return logits with the least one where they are not numbers."""
    return logits.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)


def _not_suppressed(boxes: Tensor, values: Tensor, labels: Tensor, *, iou: float) -> Tensor:
    """Return which of boxes [B, k, 4], best first in each image, remain after hard suppression: bool [B, k]."""
    # Classes and images lie side by side. The offsets of classes are those of torchvision's batched_nms: in float32, they
    # decide where an overlap is near the limit. Those of images, in float64, change nothing.
    apart = boxes + (labels * (boxes.amax((1, 2)) + 1)[:, None])[..., None]
    images = torch.arange(len(boxes), dtype=torch.float64, device=boxes.device)[:, None, None]
    kept = nms((apart + images * (apart.amax() + 1)).flatten(0, 1), values.flatten().double(), iou)
    return torch.zeros_like(values, dtype=torch.bool).flatten().index_fill_(0, kept, True).view_as(values)


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
