"""Images without annotations: found in folders, read upright, letterboxed like those of a data set.

Imports PIL, torch and NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import PIL.Image

from scalesearch.data.decode import read_upright
from scalesearch.data.pixels import Pixels, open_pixels
from scalesearch.data.split import Category, DataError, Image, Split

SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".jp2", ".png", ".ppm", ".tif", ".tiff", ".webp"))
"""Suffixes of images in a folder; a file that is given by name is read whatever its suffix."""


def find_pictures(places: Iterable[Path]) -> list[Path]:
    """Return the given files and the images below the given folders, in order, each once.

    Raises FileNotFoundError for a path that does not exist, DataError for a folder without images.
    """
    found: list[Path] = []
    for place in places:
        if not place.exists():
            raise FileNotFoundError(f"{place}: no such picture or folder")
        below = sorted(p for p in place.rglob("*") if p.suffix.lower() in SUFFIXES and not p.is_dir())
        if place.is_dir() and not below:
            raise DataError(f"a folder of pictures must have some, but {place} has no {', '.join(sorted(SUFFIXES))}")
        found += below if place.is_dir() else [place]
    return list(dict.fromkeys(found))


def read_picture(
    file: Path, number: int, size: tuple[int, int], categories: Sequence[Category]
) -> tuple[PIL.Image.Image, Pixels, tuple[str, ...]]:
    """Return (image upright in RGB at its own size, a split of it alone letterboxed at (h, w), remarks).

    The image's id is `number`. DataError as `read_upright`.
    """
    picture, _, remarks = read_upright(file)
    image = _image(file, number, picture)
    split = Split(name=file.name, images=(image,), categories=tuple(categories))
    return picture, open_pixels(split, size), remarks


def _image(file: Path, number: int, upright: PIL.Image.Image) -> Image:
    return Image(
        id=number,
        name=file.name,
        file=file,
        width=upright.width,
        height=upright.height,
        boxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int64),
        crowd=np.zeros(0, np.bool_),
        areas=np.zeros(0, np.float64),
    )
