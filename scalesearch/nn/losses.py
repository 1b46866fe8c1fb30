"""The assignment of boxes to anchors, and the focal and box losses. Imports torch(vision) and nn.

No dense one-hot target is made. Positives are few and given by index: the focal loss takes all logits as background and
then corrects the positives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import complete_box_iou_loss, distance_box_iou_loss, generalized_box_iou_loss

from scalesearch.nn.anchors import MATCH, pairwise_iou
from scalesearch.nn.postprocess import decode_boxes, encode_boxes

if TYPE_CHECKING:
    from scalesearch.nn.detector import Outputs


class Targets(NamedTuple):
    """The P positives of a batch, in order of image, then anchor."""

    places: Tensor
    """[P] int64: image * N + anchor."""
    labels: Tensor
    """[P] int64."""
    boxes: Tensor
    """[P, 4] xyxy: the assigned box."""
    anchors: Tensor
    """[P, 4] xyxy: the anchor that it is assigned to."""


class Losses(NamedTuple):
    """Scalars; total = class_ + weighted box."""

    total: Tensor
    class_: Tensor
    box: Tensor


def assign(anchors: Tensor, boxes: Tensor, labels: Tensor, *, iou: float = MATCH, best: int = 1) -> Targets:
    """Assign boxes [B, M, 4] of labels [B, M] (-1: none) to anchors [N, 4]; return the positives.

    An anchor gets the box that it overlaps most, if by at least `iou`; all others are background, none is ignored.
    Before that, each box gets its `best` anchors whatever their overlap. Where several boxes claim an anchor so, it
    gets the one that it overlaps most; of equals, the first.
    """
    # Pairs at a time: on a CPU 16 MiB a pass, a batch of 16 small images at once; on a GPU fewer kernel launches.
    pairs = 4_000_000 if boxes.device.type == "cpu" else 32_000_000
    step = max(1, pairs // (len(anchors) * boxes.shape[1]))
    parts = [_assign(anchors, boxes[i : i + step], labels[i : i + step], iou, best) for i in range(0, len(boxes), step)]
    chosen, positive = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
    image, anchor = positive.nonzero(as_tuple=True)
    row = chosen[image, anchor]
    return Targets(image * len(anchors) + anchor, labels[image, row], boxes[image, row], anchors[anchor])


def _assign(anchors: Tensor, boxes: Tensor, labels: Tensor, iou: float, best: int) -> tuple[Tensor, Tensor]:
    """Return for each anchor [B, N] the row of its box, and whether it is a positive."""
    overlap = pairwise_iou(boxes, anchors)
    known = (labels >= 0)[..., None]
    overlap.masked_fill_(~known, -1)
    if best == 1:  # max takes the first of equals
        value, place = overlap.max(dim=2, keepdim=True)
        overlap.scatter_(2, place, value + 2 * (value > 0))
    elif best > 1:
        value, place = overlap.topk(min(best, len(anchors)), dim=2)
        overlap.scatter_(2, place, value + 2 * (value > 0))
    value, chosen = overlap.max(dim=1)
    return chosen, value >= iou


def iou_loss(boxes: Tensor, targets: Tensor, *, reduction: str) -> Tensor:
    """Sum 1 - IoU over boxes [P, 4] and targets, xyxy (UnitBox takes -log IoU); gradient 0 where they are disjoint."""
    assert reduction == "sum", "torchvision's others have more"
    low, high = torch.maximum(boxes[:, :2], targets[:, :2]), torch.minimum(boxes[:, 2:], targets[:, 2:])
    both = (high - low).clamp(min=0).prod(1)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, targets)]
    return (1 - both / (areas[0] + areas[1] - both + 1e-7)).sum()


BOX_LOSSES: dict[str, Callable[..., Tensor]] = {
    "iou": iou_loss,
    "giou": generalized_box_iou_loss,
    "diou": distance_box_iou_loss,
    "ciou": complete_box_iou_loss,
}
"""Box losses by name; all are torchvision's except `iou`."""


def detection_loss(
    outputs: Outputs,
    targets: Targets,
    *,
    alpha: float = 0.25,
    gamma: float = 1.5,
    smoothing: float = 0.0,
    box: str = "huber",
    box_weight: float = 50.0,
    delta: float = 0.1,
    positives: Tensor | None = None,
) -> Losses:
    """Return the focal loss of class_logits [B, N, K] and the box loss of the positives' box_deltas [B, N, 4].

    Computed in float32. Both are divided by `positives`, by default the batch's number of positives + 1 (EfficientDet;
    google/automl det_model_fn.py); a part of a batch gives the whole batch's. `box` is huber (over deltas, mean of the
    four), or iou, giou, diou or ciou (1 - each, over boxes).
    """
    logits, deltas = outputs.class_logits.float(), outputs.box_deltas.float()
    count = len(targets.places) + 1 if positives is None else positives
    class_ = focal_loss(logits, targets.places, targets.labels, alpha=alpha, gamma=gamma, smoothing=smoothing) / count
    found = deltas.reshape(-1, 4)[targets.places]
    if box == "huber":
        wanted = encode_boxes(targets.boxes, targets.anchors)
        box_loss = F.huber_loss(found, wanted, reduction="sum", delta=delta) / (4 * count)
    else:
        box_loss = BOX_LOSSES[box](decode_boxes(found, targets.anchors), targets.boxes, reduction="sum") / count
    return Losses(class_ + box_weight * box_loss, class_, box_loss)


def focal_loss(
    logits: Tensor, places: Tensor, labels: Tensor, *, alpha: float, gamma: float, smoothing: float = 0.0
) -> Tensor:
    """Sum the focal loss (RetinaNet sec. 3) over logits [B, N, K]; targets are 1 at (places, labels) [P], else 0.

    With smoothing s the target of the cross-entropy is y (1 - s) + s / 2; the modulating factor keeps y (google/automl
    det_model_fn.py).
    """
    flat = logits.reshape(-1)
    total: Tensor = _Focal.apply(flat, places * logits.shape[-1] + labels, alpha, gamma, smoothing)
    return total


CHUNK, GPU_CHUNK = 65_536, 2**24
"""Logits at a time. On a CPU the passes stay in the cache: 28 ms instead of 88 for all 4.4 million at once (one
thread). On a GPU each pass is a kernel launch: 141 million logits, D0 at batch 32, would take 30,000."""


def _negative(x: Tensor, gamma: float, smoothing: float) -> tuple[Tensor, Tensor]:
    """Return the sum of the focal terms of target 0, p**g * entropy, and their derivatives; target 1 is that of -x.

    d/dx p**g (log(1 + e**x) - s x / 2) = p**g (g (1 - p) entropy + p - s / 2).
    """
    p = x.sigmoid()
    # pow takes ten times as long as a square root.
    power = p.sqrt().mul_(p) if gamma == 1.5 else p.pow(gamma)
    entropy = _softplus(x)
    if smoothing:
        entropy.sub_(x, alpha=smoothing / 2)
    total = torch.dot(power, entropy).double()
    return total, entropy.mul_(1 - p).mul_(gamma).add_(p).sub_(smoothing / 2).mul_(power)


def _softplus(x: Tensor) -> Tensor:
    """Return log(1 + e**x), on a CPU by a sigmoid and a logarithm.

    torch's log1p with AVX-512 takes eight times as long as its logarithm: 65,536 values in 130 us instead of 620. The
    absolute error is a last bit of 1, 6e-8, where x is negative.
    """
    if x.device.type != "cpu":
        return F.softplus(x)
    return x.relu().sub_(x.abs().sigmoid_().log_())


class _Focal(torch.autograd.Function):
    """The focal loss of logits [n] whose targets are 1 at `hot` [P]; the forward pass computes the gradient too."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, hot: Tensor, alpha: float, gamma: float, smoothing: float) -> Tensor:
        logits = logits.detach()
        gradient, total = torch.empty_like(logits), logits.new_zeros((), dtype=torch.float64)
        chunk = CHUNK if logits.device.type == "cpu" else GPU_CHUNK
        for x, out in zip(torch.split(logits, chunk), torch.split(gradient, chunk), strict=True):
            part, slope = _negative(x, gamma, smoothing)
            total += part
            torch.mul(slope, 1 - alpha, out=out)
        # Subtract what the pass over all logits counted for the positives.
        wrong, _ = _negative(logits[hot], gamma, smoothing)
        right, slope = _negative(-logits[hot], gamma, smoothing)
        gradient[hot] = slope.mul_(-alpha)
        ctx.save_for_backward(gradient)
        return ((1 - alpha) * (total - wrong) + alpha * right).to(logits.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0], None, None, None, None
