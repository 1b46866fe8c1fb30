"""Notes on held-out splits whose scores mislead: copies of training images, other class shares. Imports NumPy."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scalesearch.data.split import Image, Split, box_counts

_PART = 2**16
"""Bytes read at each end of a file to tell it from others of its size."""
_MANY = 50
"""Least number of boxes in each split for a comparison of class shares."""
_CUTS = 50
"""Random cuts that show how much the class shares of two splits differ by chance."""


def held_out_notes(train: Split, held_out: Split) -> tuple[str, ...]:
    """Return notes on images of `held_out` that are in `train` under other names, and on differing class shares."""
    return tuple(note for note in (_copies(train, held_out), _spread(train, held_out)) if note)


def _copies(train: Split, held_out: Split) -> str:
    """Find held-out images with objects that are copies of training files. Only files of equal size are opened."""
    ours: dict[int, list[Image]] = {}
    for image in train.images:
        ours.setdefault(image.file.stat().st_size, []).append(image)
    scored = [image for image in held_out.images if len(image.boxes)]
    pairs = [(image, others) for image in scored if (others := ours.get(image.file.stat().st_size))]
    known = {other.file: "" for _, others in pairs for other in others}
    known = {file: _digest(file) for file in known}
    first = {digest: file for file, digest in known.items()}
    found = [(image.file, first[digest]) for image, _ in pairs if (digest := _digest(image.file)) in first]
    if not found:
        return ""
    copy, original = found[0]
    return (
        f"{len(found)} of {len(scored)} images with objects are in {train.name} too, byte for byte ({copy.name} is "
        f"{original.name} there): scores on it are too high"
    )


def _digest(file: Path) -> str:
    """Hash a file's size and its two ends, which is quick enough for a data set of any size."""
    with file.open("rb") as opened:
        digest = hashlib.sha256(opened.read(_PART))
        size = os.fstat(opened.fileno()).st_size
        opened.seek(max(0, size - _PART))
        digest.update(opened.read(_PART))
    return f"{size} {digest.hexdigest()}"


def _spread(train: Split, held_out: Split) -> str:
    """Return a note where over half of the boxes would have to change class: shifted ids, or another data set.

    With many classes and few boxes chance alone does that, so it has to be more than in any of `_CUTS` random cuts of
    the images of both splits into two of these sizes.
    """
    counts = [box_counts(split) for split in (train, held_out)]
    if min(count.sum() for count in counts) < _MANY or (seen := _distance(*counts)) <= 0.5:
        return ""
    images = np.stack([_of_image(image, len(counts[0])) for split in (train, held_out) for image in split.images])
    rng = np.random.default_rng(0)
    for _ in range(_CUTS):
        one = images[rng.choice(len(images), len(held_out.images), replace=False)].sum(0)
        if _distance(sum(counts) - one, one) >= seen:
            return ""
    ours, theirs = (count / count.sum() for count in counts)
    k = int(np.abs(ours - theirs).argmax())
    return (
        f"its classes have other shares of the boxes than in {train.name} ({train.categories[k].name}: {ours[k]:.0%} of the "
        f"boxes there, {theirs[k]:.0%} here): do ids mean the same in both files?"
    )


def _distance(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Return the share of boxes that would have to change class to make the classes' shares equal; 1 without boxes."""
    if not one.any() or not other.any():
        return 1.0
    return float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)


def _of_image(image: Image, classes: int) -> NDArray[np.int64]:
    return np.bincount(image.labels[~image.crowd], minlength=classes)
