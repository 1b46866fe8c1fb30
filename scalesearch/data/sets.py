"""What a study runs on: the splits that train, select and report, and the fingerprint of all of it.

Selection and reporting use different images: the search scores on `select`, cut from train by seed unless the
plan says `val`; `val` is for winners and named baselines.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scalesearch.data.coco import read_split
from scalesearch.data.digits import digits_folder
from scalesearch.data.split import DataError, Progress, Split, box_counts, content, select_from, with_classes


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """The three roles' splits. All have the same categories."""

    train: Split
    select: Split
    val: Split
    fingerprint: str
    """12 hex digits: annotations, image names and byte sizes, how select is cut; not where the set lies."""
    splits: dict[str, str]
    """Role -> what it is, e.g. {"train": "train minus 20 % (seed 0)", ..., "val": "val"}."""


def open_data(
    source: str | Path,
    *,
    train: str = "train",
    val: str = "val",
    select: float | Literal["val"] = 0.2,
    seed: int = 0,
    progress: Progress | None = None,
) -> Data:
    """Opens `digits` (drawn at the first call) or a COCO folder; `train` and `val` name its splits.

    `select` is the share of train to select on, cut by `seed`, or "val", which then is no unseen set any
    more.

    Raises:
        DataError: where the data set breaks a rule, a split has no object, or the two differ in their categories or
            share an image.
    """
    folder = digits_folder(progress) if source == "digits" else Path(source)
    if train == val:
        raise DataError(f"train and val must be different splits, but both are {train!r} in {folder}: name another.")
    whole, held_out = read_split(folder, train), read_split(folder, val)
    whole, held_out = with_classes(whole, held_out.categories), with_classes(held_out, whole.categories)
    _same_categories(whole, held_out, folder)
    _apart(whole, held_out)
    held_out = replace(held_out, notes=held_out.notes + _unlearnt(whole, held_out))
    kept, chosen = (whole, held_out) if select == "val" else select_from(whole, float(select), seed)
    for part in (kept, chosen, held_out):
        _not_empty(part, folder)
    cut = "val" if select == "val" else f"{float(select)!r} {seed}"
    digest = hashlib.sha256("\n".join([content(whole), content(held_out), cut]).encode())
    return Data(
        train=kept,
        select=chosen,
        val=held_out,
        fingerprint=digest.hexdigest()[:12],
        splits={"train": kept.name, "select": chosen.name, "val": held_out.name},
    )


def _same_categories(first: Split, second: Split, folder: Path) -> None:
    if first.categories == second.categories:
        return
    ours, theirs = ({(category.id, category.name) for category in split.categories} for split in (first, second))
    only = "; ".join(
        f"only {split.name} has {', '.join(f'{id_} {name!r}' for id_, name in sorted(extra))}"
        for split, extra in ((first, ours - theirs), (second, theirs - ours))
        if extra
    )
    raise DataError(
        f"{first.name} and {second.name} must have the same categories, but in {folder}/annotations {only}: "
        f"list the same ids and names in both files."
    )


def _apart(first: Split, second: Split) -> None:
    """Two split folders may be links to one; an image that trains and reports is seen by its path."""
    roots = [_root(split).resolve() for split in (first, second)]
    if roots[0] != roots[1]:
        return
    shared = sorted({image.name for image in first.images} & {image.name for image in second.images})
    if shared:
        raise DataError(
            f"{first.name} and {second.name} must not share images, but {roots[0] / shared[0]} is in both"
            f"{f' (and {len(shared) - 1} more)' if len(shared) > 1 else ''}: list each in one of the files."
        )


def _root(split: Split) -> Path:
    """The folder that the images' names are relative to."""
    image = split.images[0]
    return image.file.parents[len(Path(image.name).parts) - 1]


def _not_empty(split: Split, folder: Path) -> None:
    if not any((~image.crowd).any() for image in split.images):
        raise DataError(
            f"a split must have an object that is no crowd, but {split.name} of {folder} has none in "
            f"{len(split.images)} images: there is nothing to learn or to score."
        )


def _unlearnt(train: Split, val: Split) -> tuple[str, ...]:
    """A note on classes that are scored and cannot be learnt: their AP is near 0 and counts in the mean."""
    ours, theirs = (box_counts(split) for split in (train, val))
    lost = [k for k in range(len(train.categories)) if theirs[k] and not ours[k]]
    if not lost:
        return ()
    names = ", ".join(train.categories[k].name for k in lost)
    boxes = int(theirs[lost].sum())
    return (f"{boxes} of {int(theirs.sum())} boxes kept: of classes without a box in {train.name} ({names})",)
