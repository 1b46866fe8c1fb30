"""The categories of one split mapped onto another's by name. Imports NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from scalesearch.data.split import Category, DataError, Split, box_counts


def by_name(split: Split, categories: Sequence[Category], whose: str) -> Split:
    """Return the split with `categories`, those of `whose`, in place of its own.

    They are matched by name where ids differ or some are not listed, with a note. DataError where a box has a category
    whose name is not among them.
    """
    ours = tuple(categories)
    if split.categories == ours:
        return split
    places = {category.name: place for place, category in enumerate(ours)}
    counts = box_counts(split).tolist()
    strange = [c for c, n in zip(split.categories, counts, strict=True) if n and c.name not in places]
    if strange:
        listed = ", ".join(f"{c.id} {c.name!r}" for c in strange)
        known = {category.name for category in split.categories}
        only = ", ".join(f"{c.id} {c.name!r}" for c in ours if c.name not in known)
        raise DataError(
            f"{whose} and {split.name} must have the same categories, but {f'only {whose} has {only}; ' if only else ''}"
            f"only {split.name} has {listed}: give each class the same name in both files."
        )
    table = np.array([places.get(category.name, -1) for category in split.categories], dtype=np.int64)
    images = tuple(
        replace(
            image,
            labels=table[image.labels][kept],
            boxes=image.boxes[kept],
            crowd=image.crowd[kept],
            areas=image.areas[kept],
        )
        for image in split.images
        for kept in [table[image.labels] >= 0]
    )
    extra = sum(category.name not in places for category in split.categories)
    difference = "gives them other ids" if len(split.categories) - extra == len(ours) else "does not list all of them"
    note = f"categories taken by name from {whose}: {split.name} {difference}"
    return replace(split, images=images, categories=ours, notes=(*split.notes, note))
