"""The splits of a study, for training, selection and reporting, and their fingerprint.

Selection and reporting use different images. The search scores on `select`, cut from train by seed unless the plan says
`val`. `val` is for winners and named baselines.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from scalesearch.data.categories import by_name
from scalesearch.data.coco import read_split_files
from scalesearch.data.digits import digits_folder
from scalesearch.data.layout import SplitFiles, check_folder, find_split, find_whole, missing, role
from scalesearch.data.leaks import held_out_notes
from scalesearch.data.split import DataError, Split, box_counts, content, select_from, with_classes
from scalesearch.io.hashes import short_hash

VAL_SHARE, VAL_SEED = 0.2, 0
"""Share and seed of val where it is cut from train: constants, so that every command has the same val."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """The splits of the three roles. All have the same categories."""

    train: Split
    select: Split
    val: Split
    fingerprint: str
    """12 hex digits: annotations, image names and byte sizes, how select is cut; not where the data set is."""
    whole: str
    """Name of train and select together: that of train, where select was cut from it."""
    splits: dict[str, str]
    """Role -> name of its split, e.g. {"train": "train minus 20 % (seed 0)", ..., "val": "val"}."""


def open_data(
    source: str | Path,
    *,
    train: str = "train",
    val: str = "val",
    select: float | Literal["val"] = 0.2,
    seed: int = 0,
) -> Data:
    """Open `digits` (drawn at the first call) or a COCO-format data set; `train` and `val` name its splits.

    Names of one role are equal: `valid` is val, `train2017` is train. Without val, test is used; without test, val is
    cut from train. `select` is the share of train to select on, cut by `seed`, or "val", which then is not unseen.

    Raises:
        DataError: where the data set breaks a rule, a split has no object, or train and val differ in their categories
            or share an image.
    """
    folder = _folder(source)
    whole, held_out = _pair(folder, train, val)
    whole, held_out = with_classes(whole, held_out.categories), with_classes(held_out, whole.categories)
    held_out = by_name(held_out, whole.categories, whole.name)
    _apart(whole, held_out)
    held_out = replace(held_out, notes=held_out.notes + _unlearnt(whole, held_out) + held_out_notes(whole, held_out))
    kept, chosen = (whole, held_out) if select == "val" else select_from(whole, float(select), seed)
    for part in (kept, chosen, held_out):
        _not_empty(part, folder)
    cut = "val" if select == "val" else f"{float(select)!r} {seed}"
    return Data(
        train=kept,
        select=chosen,
        val=held_out,
        fingerprint=short_hash("\n".join([content(whole), content(held_out), cut])),
        whole=whole.name,
        splits={"train": kept.name, "select": chosen.name, "val": held_out.name},
    )


def open_split(source: str | Path, split: str) -> Split:
    """Read one split of `digits` or of a data set by name or role; the same images as in `open_data`. DataError."""
    folder = _folder(source)
    if role(split) in ("train", "val"):
        first, second = _pair(folder, "train", "val") if _is_cut(folder) else (None, None)
        if first and second:
            return first if role(split) == "train" else second
    place = _found(folder, split)
    if place is None:
        raise missing(folder, split)
    return read_split_files(place)


def check_split(source: str | Path, split: str) -> None:
    """Raise DataError where there is no such split, before anything is read or loaded."""
    if source == "digits":
        return
    if role(split) in ("train", "val") and _is_cut(Path(source)):
        check_folder(Path(source))
    elif _found(Path(source), split) is None:
        raise missing(Path(source), split)


def _folder(source: str | Path) -> Path:
    return digits_folder() if source == "digits" else Path(source)


def _found(folder: Path, split: str) -> SplitFiles | None:
    """Return the split; where val is asked for and missing, test."""
    if not folder.is_dir():
        return None
    return find_split(folder, split) or (find_split(folder, "test") if role(split) == "val" else None)


def _is_cut(folder: Path) -> bool:
    return folder.is_dir() and _found(folder, "val") is None


def _pair(folder: Path, train: str, val: str) -> tuple[Split, Split]:
    """Return train and val as the folder has them, or val cut from train."""
    if train == val:
        raise DataError(f"train and val must be different splits, but both are {train!r} in {folder}: name another.")
    first, second = _found(folder, train), _found(folder, val)
    if first is None and folder.is_dir() and role(train) == "train":
        first = find_whole(folder)
    if first is None:
        raise missing(folder, train)
    if second is None and role(val) != "val":
        raise missing(folder, val)
    if second is None:
        return _cut(read_split_files(first))
    if first.file == second.file:
        raise DataError(f"train and val must be different splits, but both are {first.file}: name another.")
    held_out = read_split_files(second)
    notes = (
        (f"split {second.split} is used as val, since there is none",)
        if role(second.split) == "test" != role(val)
        else ()
    )
    return read_split_files(first), replace(held_out, notes=notes + held_out.notes)


def _cut(whole: Split) -> tuple[Split, Split]:
    rest, held_out = select_from(whole, VAL_SHARE, VAL_SEED)
    note = f"cut from {whole.name} by seed, for there is no val; it is the same for every command, and never trained on"
    return replace(rest, name=f"{whole.name} without val"), replace(held_out, notes=(note,))


def _apart(first: Split, second: Split) -> None:
    """Refuse images in both splits, by resolved path: folders may be links to one, or one may hold both splits."""
    shared = sorted(_files(first) & _files(second))
    if shared:
        raise DataError(
            f"{first.name} and {second.name} must not share images, but {shared[0]} is in both"
            f"{f' (and {len(shared) - 1} more)' if len(shared) > 1 else ''}: list each in one of the files."
        )


def _files(split: Split) -> set[Path]:
    """Return the images' files with links of folders resolved, each folder once."""
    folders = {folder: folder.resolve() for folder in {image.file.parent for image in split.images}}
    return {folders[image.file.parent] / image.file.name for image in split.images}


def _not_empty(split: Split, folder: Path) -> None:
    if not any((~image.crowd).any() for image in split.images):
        raise DataError(
            f"a split must have an object that is no crowd, but {split.name} of {folder} has none in "
            f"{len(split.images)} images: there is nothing to learn or to score."
        )


def _unlearnt(train: Split, val: Split) -> tuple[str, ...]:
    """Return a note on classes that are scored but not in train: their AP is near 0 and counts in the mean."""
    ours, theirs = (box_counts(split) for split in (train, val))
    lost = [k for k in range(len(train.categories)) if theirs[k] and not ours[k]]
    if not lost:
        return ()
    names = ", ".join(train.categories[k].name for k in lost)
    boxes = int(theirs[lost].sum())
    return (f"{boxes} of {int(theirs.sum())} boxes kept: of classes without a box in {train.name} ({names})",)
