"""The match report of a run: a class with AP 0 may only have unmatched boxes. Imports arch, data and nn."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from scalesearch.arch.spec import DetectorSpec
from scalesearch.data.pixels import Pixels
from scalesearch.inputs.documents import parse_json
from scalesearch.inputs.typed import convert
from scalesearch.io.lock import one_at_a_time
from scalesearch.io.publish import publish_to_cache
from scalesearch.nn.anchors import Coverage, class_coverage

MOST_CLASSES = 20
"""Most classes with a line of their own."""

_VERSION = 1
_ROWS = tuple[tuple[int, float | None, float | None], ...]
"""Boxes, share and anchors a box of each class, as a file has them."""
_known: dict[str, list[Coverage]] = {}
"""What this process has found, by content: where a cache cannot be written, a worker still computes it once."""


def match_report(spec: DetectorSpec, pixels: Pixels, cache: Path | None = None) -> tuple[str, ...]:
    """Return a line for each class: the share of its boxes that anchors match at IoU 0.5, and by how many anchors.

    Of more than MOST_CLASSES classes, those that match worst get one. Classes without boxes share one. A `cache` keeps the
    numbers.
    """
    found = match_numbers(spec, pixels, cache)
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


def match_numbers(spec: DetectorSpec, pixels: Pixels, cache: Path | None = None) -> list[Coverage]:
    """Return the coverage of each class by the spec's anchors, computed once a machine for equal boxes and anchors.

    It takes 55 s for COCO, as long as a short training of a small detector.
    """
    boxes = np.concatenate([*pixels.boxes, np.zeros((0, 4), np.float32)])
    labels = np.concatenate([*pixels.labels, np.zeros(0, np.int64)])
    classes = len(pixels.split.categories)
    key = _key(spec, boxes, labels, classes)
    if key not in _known:
        file = cache / f"matches-{key}.json" if cache else None
        if file is None:
            _known[key] = class_coverage(spec, torch.from_numpy(boxes), torch.from_numpy(labels), classes)
        else:
            with one_at_a_time(file.with_name(f".{file.name}.lock")):
                found = _read(file)
                if found is None or len(found) != classes:
                    found = class_coverage(spec, torch.from_numpy(boxes), torch.from_numpy(labels), classes)
                    publish_to_cache(file, json.dumps(found))
            _known[key] = found
    return _known[key]


def _key(spec: DetectorSpec, boxes: NDArray[np.float32], labels: NDArray[np.int64], classes: int) -> str:
    """Hash all that the numbers depend on."""
    digest = hashlib.sha256(repr((_VERSION, spec.size, tuple(spec.levels), spec.anchors, classes)).encode())
    for array in (boxes, labels):
        digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes() + b"|")
    return digest.hexdigest()[:16]


def _read(file: Path) -> list[Coverage] | None:
    """Return the numbers of a file; None where it is missing or torn."""
    try:
        rows = convert(parse_json(file.read_text(encoding="utf-8")), _ROWS, "it")
    except (OSError, ValueError):
        return None
    return [Coverage(*row) for row in rows]
