"""What a run says of its anchors before anything else: a class at AP 0 may be nothing but unmatched boxes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.pixels import Pixels
from scalesearch.nn.anchors import anchor_boxes, matched_share, matches


def match_report(spec: DetectorSpec, pixels: Pixels, anchors: Tensor | None = None) -> tuple[str, ...]:
    """One line a class: the share of its boxes that an anchor can match at IoU 0.5, and by how many anchors."""
    anchors = anchor_boxes(spec) if anchors is None else anchors.cpu()
    boxes = torch.from_numpy(np.concatenate([*pixels.boxes, np.zeros((0, 4), np.float32)]))
    labels = torch.from_numpy(np.concatenate([*pixels.labels, np.zeros(0, np.int64)]))
    categories = pixels.split.categories
    shares = matched_share(anchors, boxes, labels, len(categories))
    counts = matches(anchors, boxes).double()
    lines = []
    for label, (category, share) in enumerate(zip(categories, shares, strict=True)):
        if share is None:
            lines.append(f"{category.name}: no boxes in {pixels.split.name}")
            continue
        own = counts[labels == label]
        lines.append(
            f"{category.name}: anchors match {100 * share:.0f} % of {len(own)} boxes at IoU 0.5, "
            f"{float(own.mean()):.1f} anchors a box"
        )
    return tuple(lines)
