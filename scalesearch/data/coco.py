"""Reads a COCO-format folder: `annotations/instances_<split>.json`, the images in `<split>/`.

What is wrong beyond doubt is refused in one line (`DataError`); boxes that can be mended or left out are, and
counted in `Split.notes`. Standard library and NumPy; images are not opened here.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalesearch.data.split import Category, DataError, Image, Split, ground_truth, select_from

__all__ = ["Category", "DataError", "Image", "Split", "ground_truth", "read_split", "select_from"]

Item = dict[str, Any]


def read_split(folder: Path, split: str) -> Split:
    """Reads one split of a COCO folder, images in the order of the file, labels in that of category ids.

    Boxes are clipped to their image; those without area, outside, or not finite are left out and counted in
    `notes`.

    Raises:
        DataError: where the folder, the file, or an entry of it breaks a rule of the format.
    """
    place = folder / "annotations" / f"instances_{split}.json"
    document = _document(folder, split, place)
    categories = _categories(document["categories"], place)
    entries = document["images"]
    _check_images(entries, folder / split, place)
    objects = document["annotations"]
    owners = _positions(objects, "image_id", [entry["id"] for entry in entries], "images", place)
    labels = _positions(objects, "category_id", [category.id for category in categories], "categories", place)
    sizes = np.array([[entry["width"], entry["height"]] for entry in entries], dtype=np.float64)
    boxes, kept, notes = _clip(_boxes(objects, place), sizes[owners])
    areas = _areas(objects, boxes, place)
    crowd = np.array([item.get("iscrowd", 0) == 1 for item in objects], dtype=np.bool_)
    order = np.argsort(owners, kind="stable")
    order = order[kept[order]]
    bounds = np.searchsorted(owners[order], np.arange(len(entries) + 1))
    images = [
        Image(
            id=entry["id"],
            name=entry["file_name"],
            file=folder / split / entry["file_name"],
            width=entry["width"],
            height=entry["height"],
            boxes=boxes[rows].astype(np.float32),
            labels=labels[rows],
            crowd=crowd[rows],
            areas=areas[rows],
            group=None if entry.get("group") is None else str(entry["group"]),
        )
        for entry, start, stop in zip(entries, bounds[:-1], bounds[1:], strict=True)
        for rows in [order[start:stop]]
    ]
    return Split(name=split, images=tuple(images), categories=categories, notes=notes)


def _document(folder: Path, split: str, place: Path) -> dict[str, list[Item]]:
    """The annotation file, with its three lists present and lists of objects."""
    mend = "a COCO folder has annotations/instances_<split>.json and the images in <split>/"
    if not folder.is_dir():
        raise DataError(f"the data folder must exist, but {folder} is no folder: {mend}.")
    if not place.is_file():
        found = sorted(file.stem.removeprefix("instances_") for file in place.parent.glob("instances_*.json"))
        raise DataError(
            f"split {split!r} must have an annotation file, but {place} is missing (splits found: "
            f"{', '.join(found) or 'none'}): {mend}."
        )
    if not (folder / split).is_dir():
        raise DataError(f"split {split!r} must have its images in a folder, but {folder / split} is missing: {mend}.")
    try:
        document = json.loads(place.read_bytes())
    except ValueError as error:
        raise DataError(f"an annotation file must be JSON, but {place} is not ({error}): write it again.") from error
    if not isinstance(document, dict):
        raise DataError(
            f"an annotation file must hold an object, but {place} holds a {type(document).__name__}: {mend}."
        )
    for key in ("images", "annotations", "categories"):
        items = document.get(key)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise DataError(f"{key!r} must be a list of objects in {place}: write it as the COCO format has it.")
        if not items and key != "annotations":
            raise DataError(f"{key!r} must not be empty, but it is in {place}: list at least one.")
    return document


def _categories(items: Sequence[Item], place: Path) -> tuple[Category, ...]:
    for item in items:
        _require(item, "id", int, "category", place)
        _require(item, "name", str, "category", place)
    _unique([item["id"] for item in items], "category ids", place)
    _unique([item["name"] for item in items], "category names", place)
    return tuple(Category(id=item["id"], name=item["name"]) for item in sorted(items, key=lambda item: int(item["id"])))


def _check_images(entries: Sequence[Item], folder: Path, place: Path) -> None:
    for entry in entries:
        for key, kind in (("id", int), ("file_name", str), ("width", int), ("height", int)):
            _require(entry, key, kind, "image", place)
        if entry["width"] < 1 or entry["height"] < 1:
            size = f"{entry['width']}x{entry['height']}"
            raise DataError(
                f"an image's width and height must be positive, but {entry['file_name']!r} has {size} in "
                f"{place}: give the size in pixels."
            )
        if not (folder / entry["file_name"]).is_file():
            raise DataError(
                f"each image of {place} must exist, but {folder / entry['file_name']} is missing: add it, "
                f"or remove its entry."
            )
    _unique([entry["id"] for entry in entries], "image ids", place)
    _unique([entry["file_name"] for entry in entries], "file names of images", place)


def _positions(objects: Sequence[Item], key: str, ids: Sequence[int], of: str, place: Path) -> NDArray[np.int64]:
    """[n] where each annotation's `key` stands among `ids`."""
    index = {id_: position for position, id_ in enumerate(ids)}
    for item in objects:
        _require(item, key, int, "annotation", place)
        if item[key] not in index:
            raise DataError(
                f"an annotation's {key} must be among the {of}, but {_named(item)} has {item[key]} in "
                f"{place}: add it to {of!r}, or remove the annotation."
            )
    _unique([item["id"] for item in objects if "id" in item], "annotation ids", place)
    return np.array([index[item[key]] for item in objects], dtype=np.int64)


def _boxes(objects: Sequence[Item], place: Path) -> NDArray[np.float64]:
    """[n, 4] xywh as annotated."""
    for item in objects:
        box = item.get("bbox")
        if not (isinstance(box, list) and len(box) == 4 and all(_is_number(value) for value in box)):
            raise DataError(
                f"bbox must be four numbers [x, y, width, height], but {_named(item)} has {box!r} in "
                f"{place}: give them in pixels, or remove the annotation."
            )
    return np.array([item["bbox"] for item in objects], dtype=np.float64).reshape(-1, 4)


def _areas(objects: Sequence[Item], boxes: NDArray[np.float64], place: Path) -> NDArray[np.float64]:
    """[n] annotated areas; the box's where there is none, or 0 in its place."""
    areas: NDArray[np.float64] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    for position, item in enumerate(objects):
        area = item.get("area")
        if not area:
            continue
        if not _is_number(area) or not 0 <= area < math.inf:
            raise DataError(
                f"area must be a positive number, but {_named(item)} has {area!r} in {place}: give it "
                f"in square pixels, or leave it out."
            )
        areas[position] = area
    return areas


def _clip(
    boxes: NDArray[np.float64], sizes: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_], tuple[str, ...]]:
    """xywh [n, 4], image (width, height) [n, 2] -> xyxy inside the image [n, 4], kept [n], notes."""
    finite: NDArray[np.bool_] = np.all(np.isfinite(boxes), axis=1)
    flat = finite & ~(boxes[:, 2:] > 0).all(axis=1)
    whole = np.where(finite[:, None], boxes, 0.0)
    whole[:, 2:] += whole[:, :2]
    limits = np.tile(sizes, 2)
    inside = np.clip(whole, 0.0, limits)
    # In float32, as kept: a sliver that rounds to nothing has no area.
    visible = (inside[:, 2:].astype(np.float32) > inside[:, :2].astype(np.float32)).all(axis=1)
    outside = finite & ~flat & ~visible
    kept = finite & ~flat & visible
    # Half a pixel over the edge is how annotation tools round, not worth a note.
    clipped = kept & (np.abs(whole - inside).max(axis=1, initial=0.0) > 0.5)
    counts = {
        "left out: not finite": ~finite,
        "left out: no area": flat,
        "left out: outside their image": outside,
        "clipped to their image": clipped,
    }
    notes = tuple(f"{int(hit.sum())} of {len(boxes)} boxes {what}" for what, hit in counts.items() if hit.any())
    return inside, kept, notes


def _require(item: Item, key: str, kind: type, of: str, place: Path) -> None:
    value = item.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(
            f"each {of} must have {key!r} as {kind.__name__}, but {_named(item)} has {value!r} in {place}: "
            f"add or mend it."
        )


def _unique(values: Sequence[object], what: str, place: Path) -> None:
    value, count = Counter(values).most_common(1)[0] if values else (None, 0)
    if count > 1:
        raise DataError(f"{what} must differ, but {value!r} occurs {count} times in {place}: remove the copies.")


def _named(item: Item) -> str:
    known = [f"{key} {item[key]!r}" for key in ("id", "name", "file_name") if key in item]
    return ", ".join(known) or "one without id"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
