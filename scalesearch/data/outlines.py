"""Boxes computed from outlines, for exports of labelme and others that have no boxes. Imports pycocotools."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pycocotools import mask

from scalesearch.data.coco_entries import Item


def needs_outline(item: Item) -> bool:
    """Whether the box has to come from the outline: it is missing or all zeros."""
    box = item.get("bbox")
    return box is None or box == [] or box == [0, 0, 0, 0]


def fill_boxes(objects: Sequence[Item]) -> tuple[str, ...]:
    """Write `bbox` into the objects that only have an outline; return a note on how many."""
    count = 0
    for item in objects:
        if needs_outline(item) and (box := outline_box(item.get("segmentation"))):
            item["bbox"] = box
            count += 1
    return (f"{count} of {len(objects)} boxes taken from outlines: there were none",) if count else ()


def outline_box(outline: object) -> list[float] | None:
    """Return [x, y, width, height] of polygons, [[x, y, x, y, ...], ...], or a run-length mask; None for all else."""
    if isinstance(outline, dict):
        return _mask_box(outline)
    if not isinstance(outline, list) or not outline:
        return None
    rings = [outline] if all(_is_number(value) for value in outline) else outline
    if not all(isinstance(ring, list) and len(ring) >= 4 and len(ring) % 2 == 0 for ring in rings):
        return None
    if not all(_is_number(value) for ring in rings for value in ring):
        return None
    across = [float(value) for ring in rings for value in ring[::2]]
    down = [float(value) for ring in rings for value in ring[1::2]]
    return [min(across), min(down), max(across) - min(across), max(down) - min(down)]


def _mask_box(runs: Item) -> list[float] | None:
    """Return the box of {"size": [height, width], "counts": runs as a list or in COCO's compressed text}."""
    size, counts = runs.get("size"), runs.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(type(side) is int and 0 < side < 2**15 for side in size)):
        return None
    if isinstance(counts, list):
        if not all(type(count) is int and count >= 0 for count in counts) or sum(counts) != size[0] * size[1]:
            return None
        packed = mask.frPyObjects({"size": size, "counts": counts}, *size)
    elif isinstance(counts, str) and _is_packed(counts):
        packed = {"size": size, "counts": counts.encode()}
    else:
        return None
    box: list[float] = mask.toBbox(packed).tolist()
    return box if all(math.isfinite(value) for value in box) else None


def _is_packed(text: str) -> bool:
    """Whether each character has six bits and the last one ends a number; if not, pycocotools reads past the end."""
    return bool(text) and all(48 <= ord(letter) < 112 for letter in text) and not (ord(text[-1]) - 48) & 0x20


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and -1e9 < value < 1e9
