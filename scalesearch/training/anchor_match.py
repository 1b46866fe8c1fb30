"""The match report of a run: a class with AP 0 may only have unmatched boxes. Imports arch, data and nn."""

from __future__ import annotations

import numpy as np
import torch

from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.pixels import Pixels
from scalesearch.nn.anchors import class_coverage

MOST_CLASSES = 20
"""Most classes with a line of their own."""


def match_report(spec: DetectorSpec, pixels: Pixels) -> tuple[str, ...]:
    """Return a line for each class: the share of its boxes that anchors match at IoU 0.5, and by how many anchors.

    Of more than MOST_CLASSES classes, those that match worst get one. Classes without boxes share one.
    """
    boxes = torch.from_numpy(np.concatenate([*pixels.boxes, np.zeros((0, 4), np.float32)]))
    labels = torch.from_numpy(np.concatenate([*pixels.labels, np.zeros(0, np.int64)]))
    found = class_coverage(spec, boxes, labels, len(pixels.split.categories))
    known = {c.name: own for c, own in zip(pixels.split.categories, found, strict=True)}
    shares = {name: own.share for name, own in known.items() if own.share is not None}
    worst = sorted(shares, key=shares.__getitem__)[:MOST_CLASSES] if len(shares) > MOST_CLASSES else []
    lines = [
        f"{name}: anchors match {100 * share:.0f} % of {known[name].boxes} boxes at IoU 0.5, "
        f"{known[name].anchors_a_box:.1f} anchors a box"
        for name, share in shares.items()
        if not worst or name in worst
    ]
    if worst:
        lines.append(
            f"the other {len(shares) - MOST_CLASSES} classes: anchors match at least {100 * shares[worst[-1]]:.0f} %"
        )
    if empty := [name for name in known if name not in shares]:
        more = f" and {len(empty) - MOST_CLASSES} more" if len(empty) > MOST_CLASSES else ""
        lines.append(f"{', '.join(empty[:MOST_CLASSES])}{more}: no boxes in {pixels.split.name}")
    return tuple(lines)
