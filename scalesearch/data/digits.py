"""`digits`: a detection set drawn from scikit-learn's handwritten digits, for use without a download.

Ten classes; 1,200 training and 250 validation images of 160x160, each with 5 to 8 objects over clutter. An object's
longer side is 8 to 112 pixels (log-uniform). No handwritten sample (of 1,797; E. Alpaydin and C. Kaynak, 1998, UCI) is
in two splits: train and val share none, nor do the 20 groups of training images, which `select_from` keeps together.
The set is drawn from a seed and written once as an ordinary COCO folder. Imports NumPy, PIL and scikit-learn.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.random import PCG64, Generator
from numpy.typing import NDArray

from scalesearch.data.coco_entries import Item
from scalesearch.data.rendering import background, ink, noisy, write
from scalesearch.data.split import DataError
from scalesearch.io.cache import cache_folder
from scalesearch.io.progress import bar
from scalesearch.io.publish import publishing_folder

VERSION = 1
"""Version of the drawing: a changed drawing gets a new number, and so a new folder."""

SIDE = 160
OBJECTS = (5, 8)
SIZES = (8, 112)
"""Pixels of an object's longer side, drawn log-uniformly."""

OVERLAP = 0.1
"""Most of the smaller of two boxes that lies in the other, as a share; so IoU < 0.1 and no object is covered."""

COUNTS = {"train": 1200, "val": 250}
GROUPS = {"train": 20, "val": 1}
_SEED = 20_251_122
_VAL_SHARE = 0.2
_TRIES = 40


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Handwritten samples: 8x8 counts of 0 to 16, their digits, their positions in scikit-learn's set."""

    images: NDArray[np.float64]
    digits: NDArray[np.int64]
    positions: NDArray[np.int64]


def digits_folder() -> Path:
    """Return the COCO folder of `digits`, drawn on the first call (15 s on one core).

    It is in SCALESEARCH_CACHE, by default ~/.cache/scalesearch, and is published by rename.

    Raises:
        DataError: if that folder cannot be written.
    """
    cache = cache_folder()
    folder = cache / f"digits-v{VERSION}"
    if folder.is_dir():
        return folder
    try:
        with publishing_folder(folder) as aside:
            draw_digits(aside, COUNTS)
    except OSError as error:
        if not folder.is_dir():  # else another process has published the same folder first
            raise DataError(
                f"the cache folder must be writable, but {cache} is not ({error}): set SCALESEARCH_CACHE to "
                f"a folder that is, or free space there."
            ) from error
    return folder


def draw_digits(folder: Path, counts: dict[str, int]) -> None:
    """Draw the first `counts[split]` images of each split into `folder`, as a COCO folder.

    An image depends only on its split and number, so that a smaller set is a prefix of a larger one.
    """
    pools, update = _pools(), bar("drawing digits")
    done = 0
    for split, count in counts.items():
        (folder / split).mkdir(parents=True, exist_ok=True)
        drawn = []
        for number in range(count):
            drawn.append(_draw_image(folder, split, number, pools[split][number % GROUPS[split]]))
            done += 1
            update(done, sum(counts.values()), "images")
        _write_annotations(folder, split, drawn)


def _draw_image(folder: Path, split: str, number: int, pool: Samples) -> list[Item]:
    """Write one image; return its objects as COCO annotations, without ids."""
    rng = Generator(PCG64([_SEED, list(COUNTS).index(split), number]))
    picture, objects = _draw(rng, pool)
    PIL.Image.fromarray(picture).save(folder / split / _name(number), quality=95, subsampling=0)
    return objects


def _write_annotations(folder: Path, split: str, drawn: Sequence[Sequence[Item]]) -> None:
    """Write the annotation file of a split from the objects of its images."""
    images = [
        {
            "id": number + 1,
            "file_name": _name(number),
            "width": SIDE,
            "height": SIDE,
            "group": f"{split} {number % GROUPS[split]}",
        }
        for number in range(len(drawn))
    ]
    placed = [(number + 1, item) for number, objects in enumerate(drawn) for item in objects]
    document = {
        "info": {"description": f"scalesearch digits, version {VERSION}, split {split}"},
        "images": images,
        "annotations": [{"id": id_, "image_id": image} | item for id_, (image, item) in enumerate(placed, 1)],
        "categories": [{"id": digit + 1, "name": str(digit)} for digit in range(10)],
    }
    place = folder / "annotations" / f"instances_{split}.json"
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(document))


def _name(number: int) -> str:
    return f"{number:04d}.jpg"


def _pools() -> dict[str, list[Samples]]:
    """Return split -> the samples of each group: a partition of all 1,797, each part with all ten digits."""
    # Imported here: it takes a second, and only drawing needs it.
    from sklearn.datasets import load_digits

    handwriting = load_digits()
    digits = handwriting.target.astype(np.int64)
    order = Generator(PCG64(_SEED)).permutation(len(digits))
    order = order[np.argsort(digits[order], kind="stable")]  # sorted by digit, so that each part gets its share of each
    held_out = np.zeros(len(order), dtype=bool)
    held_out[:: round(1 / _VAL_SHARE)] = True
    parts = {"train": order[~held_out], "val": order[held_out]}
    return {
        split: [
            Samples(images=handwriting.images[hand], digits=digits[hand], positions=hand)
            for hand in (part[group :: GROUPS[split]] for group in range(GROUPS[split]))
        ]
        for split, part in parts.items()
    }


def _draw(rng: Generator, pool: Samples) -> tuple[NDArray[np.uint8], list[Item]]:
    """Draw one image [SIDE, SIDE, 3]; return it with its objects as COCO annotations, without ids."""
    chosen, coverages, places = _layout(rng, pool)
    canvas = background(rng, SIDE).astype(np.float64)
    objects = []
    for sample, coverage, (left, top) in zip(chosen, coverages, places, strict=True):
        write(rng, canvas, coverage, left, top)
        height, width = coverage.shape
        objects.append(
            {
                "category_id": int(pool.digits[sample]) + 1,
                "bbox": [left, top, width, height],
                "area": width * height,
                "iscrowd": 0,
                "sample": int(pool.positions[sample]),
            }
        )
    return noisy(rng, canvas), objects


def _layout(rng: Generator, pool: Samples) -> tuple[list[int], list[NDArray[np.uint8]], list[tuple[int, int]]]:
    """Draw distinct samples; return them with their coverages, the largest first, and places (left, top).

    A layout that does not fit is drawn again from the start.
    """
    while True:
        count = int(rng.integers(OBJECTS[0], OBJECTS[1] + 1))
        chosen = rng.permutation(len(pool.digits))[:count].tolist()
        sizes = np.sort(SIZES[0] * (SIZES[1] / SIZES[0]) ** rng.uniform(0, 1, count))[::-1]
        coverages = [ink(rng, pool.images[sample], round(size)) for sample, size in zip(chosen, sizes, strict=True)]
        boxes: list[tuple[int, int, int, int]] = []
        for coverage in coverages:
            height, width = coverage.shape
            for _ in range(_TRIES):
                left, top = int(rng.integers(0, SIDE - width + 1)), int(rng.integers(0, SIDE - height + 1))
                box = (left, top, left + width, top + height)
                if all(_overlap(box, other) <= OVERLAP for other in boxes):
                    boxes.append(box)
                    break
        if len(boxes) == count:
            return chosen, coverages, [box[:2] for box in boxes]


def _overlap(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> float:
    """Return the shared area as a share of the smaller box."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return max(0, width) * max(0, height) / smaller
