"""A split as data: images, boxes, categories; its cut by seed; its COCO form for the evaluators.

Standard library and NumPy only. `coco` reads splits from a folder, `sets` joins them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class DataError(ValueError):
    """The data set breaks a rule. One line: the rule, the value, the place, the mend."""


@dataclass(frozen=True, kw_only=True)
class Category:
    """A class as the annotation file has it; its position in `Split.categories` is its label."""

    id: int
    """COCO id; gaps are allowed."""
    name: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """One image and its n objects, in the image's own pixels; n may be 0."""

    id: int
    name: str
    """`file_name` of the annotation file."""
    file: Path
    width: int
    height: int
    boxes: NDArray[np.float32]
    """[n, 4] xyxy, inside the image, of positive area."""
    labels: NDArray[np.int64]
    """[n] positions in `Split.categories`."""
    crowd: NDArray[np.bool_]
    """[n] `iscrowd`: ignored by the evaluators, no training target."""
    areas: NDArray[np.float64]
    """[n] `area` as annotated (in COCO the mask's), which decides small, medium and large."""
    group: str | None = None
    """The image's extra key `group`: images of one group (a patient, a film) stay in one split."""


@dataclass(frozen=True, kw_only=True)
class IdTexts:
    """The ids that the annotation file has as text, by the numbers that stand for them here; empty where it has numbers."""

    images: Mapping[int, str] = field(default_factory=dict)
    categories: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Images with their categories. `name` describes it, e.g. "val" or "20 % of train (seed 0)"."""

    name: str
    images: tuple[Image, ...]
    categories: tuple[Category, ...]
    notes: tuple[str, ...] = ()
    """Changes and omissions while reading, and why, with counts."""
    roots: tuple[Category, ...] = ()
    """Categories of the file that are no classes: supercategories of others, without an object here."""
    texts: IdTexts = field(default_factory=IdTexts)


def with_classes(split: Split, known: Sequence[Category]) -> Split:
    """Return the split with those of its `roots` as classes that are in `known`: another split has objects of them."""
    back = [category for category in split.roots if category in known]
    if not back:
        return split
    categories = sorted((*split.categories, *back), key=lambda category: category.id)
    places = np.array([categories.index(category) for category in split.categories], dtype=np.int64)
    return replace(
        split,
        images=tuple(replace(image, labels=places[image.labels]) for image in split.images),
        categories=tuple(categories),
        roots=tuple(category for category in split.roots if category not in back),
    )


def select_from(train: Split, share: float, seed: int) -> tuple[Split, Split]:
    """Cut `train` by image into (rest, selected), with about `share` of the images in the second.

    Images are taken in the order of a hash of (seed, group or file name), so that the cut depends neither on NumPy's
    generators nor on the order of the file, and images of one group stay together.

    Raises:
        DataError: if `share` is not inside (0, 1), or leaves one side without an image.
    """
    if not 0 < share < 1:
        raise DataError(
            f"0 < select < 1 must hold, but got {share}: give the share of {train.name} to select on, or val."
        )
    units: dict[str, list[int]] = {}
    for position, image in enumerate(train.images):
        key = f"image {image.name}" if image.group is None else f"group {image.group}"
        units.setdefault(key, []).append(position)
    ordered = sorted(units, key=lambda key: hashlib.sha256(f"{seed} {key}".encode()).digest())
    counts = np.cumsum([len(units[key]) for key in ordered])
    taken = int(np.argmin(np.abs(counts - share * len(train.images)))) + 1
    chosen = {position for key in ordered[:taken] for position in units[key]}
    if not 0 < len(chosen) < len(train.images):
        raise DataError(
            f"both sides of a cut need an image, but select={share} of the {len(train.images)} images "
            f"({len(units)} groups) of {train.name} gives {len(chosen)}: change the share, or take val."
        )
    percent = f"{100 * share:g} %"
    rest = [image for position, image in enumerate(train.images) if position not in chosen]
    selected = [image for position, image in enumerate(train.images) if position in chosen]
    return (
        replace(train, name=f"{train.name} minus {percent} (seed {seed})", images=tuple(rest)),
        replace(train, name=f"{percent} of {train.name} (seed {seed})", images=tuple(selected), notes=()),
    )


def box_counts(split: Split) -> NDArray[np.int64]:
    """Return the number [K] of objects of each class, without crowds."""
    labels = np.concatenate([image.labels[~image.crowd] for image in split.images])
    return np.bincount(labels, minlength=len(split.categories))


def ground_truth(split: Split) -> dict[str, Any]:
    """Return the COCO dictionary that the evaluators read: original pixels, xywh, crowds kept.

    Annotation ids start at 1: pycocotools takes the id 0 of a matched object for "no match".
    """
    annotations: list[dict[str, Any]] = []
    for image in split.images:
        sides = np.concatenate([image.boxes[:, :2], image.boxes[:, 2:] - image.boxes[:, :2]], axis=1, dtype=np.float64)
        objects = zip(sides.tolist(), image.labels.tolist(), image.crowd.tolist(), image.areas.tolist(), strict=True)
        for box, label, crowd, area in objects:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image.id,
                    "category_id": split.categories[label].id,
                    "bbox": box,
                    "area": area,
                    "iscrowd": int(crowd),
                }
            )
    return {
        "info": {"description": split.name},
        "images": [
            {"id": image.id, "file_name": image.name, "width": image.width, "height": image.height}
            for image in split.images
        ],
        "categories": [{"id": category.id, "name": category.name} for category in split.categories],
        "annotations": annotations,
    }


def content(split: Split) -> str:
    """Hash the content of a split, not its place: annotations, image names, their sizes in bytes."""
    digest = hashlib.sha256()
    digest.update(repr([(category.id, category.name) for category in split.categories]).encode())
    for image in split.images:
        place = (image.id, image.name, image.group, image.file.stat().st_size, image.width, image.height)
        digest.update(repr(place).encode())
        digest.update(_bytes([image.boxes, image.labels, image.crowd, image.areas]))
    return digest.hexdigest()


def _bytes(arrays: Sequence[NDArray[Any]]) -> bytes:
    return b"".join(array.astype(array.dtype.newbyteorder("<")).tobytes() + b"|" for array in arrays)
