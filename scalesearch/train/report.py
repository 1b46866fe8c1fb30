"""What a run says of its anchors before anything else: a class at AP 0 may be nothing but unmatched boxes."""

from __future__ import annotations

import numpy as np
import torch

from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.pixels import Pixels
from scalesearch.nn.anchors import match_counts


def match_report(spec: DetectorSpec, pixels: Pixels) -> tuple[str, ...]:
    """One line a class: the share of its boxes that an anchor can match at IoU 0.5, and by how many anchors."""
    boxes = torch.from_numpy(np.concatenate([*pixels.boxes, np.zeros((0, 4), np.float32)]))
    labels = torch.from_numpy(np.concatenate([*pixels.labels, np.zeros(0, np.int64)]))
    categories = pixels.split.categories
    counts = match_counts(spec, boxes).double()
    lines = []
    for label, category in enumerate(categories):
        own = counts[labels == label]
        if not len(own):
            lines.append(f"{category.name}: no boxes in {pixels.split.name}")
            continue
        share = float((own > 0).double().mean())
        lines.append(
            f"{category.name}: anchors match {100 * share:.0f} % of {len(own)} boxes at IoU 0.5, "
            f"{float(own.mean()):.1f} anchors a box"
        )
    return tuple(lines)
