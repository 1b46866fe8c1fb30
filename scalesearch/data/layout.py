"""The layout of a data set: the annotation file of each split, and the folders that hold its images.

Covers COCO's own layout and the layouts that labelling tools export: docs/data.md has them. Splits are found by file
names, and by the first bytes of ambiguous files; no annotation is read here. Standard library only.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from scalesearch.data.foreign import foreign_format
from scalesearch.data.split import DataError

ROLES = {"train": ("train", "training"), "val": ("val", "valid", "validation", "dev"), "test": ("test", "testing")}
"""Names that tools give the splits; case and a year at the end do not matter."""

_GENERIC = frozenset(
    [
        "annotation",
        "annotations",
        "bbox",
        "boxes",
        "coco",
        "data",
        "dataset",
        "default",
        "detection",
        "detections",
        "export",
        "gt",
        "instance",
        "instances",
        "json",
        "label",
        "labels",
        "object",
        "objects",
        "result",
        "results",
        "set",
        "split",
    ]
)
"""Words in names of files and folders that name no split."""
_OTHER_TASKS = ("captions_", "panoptic_", "stuff_", "image_info_", "person_keypoints_")
_PICTURES = ("images", "data", "img", "imgs", "image", "JPEGImages")
"""Names of folders of images of any split."""
_SNIFFED = 20
"""Most JSON files of a folder that are examined: a folder with more has one for each image."""
_HEAD, _TAIL = 1 << 20, 1 << 16
_LISTS = re.compile(rb'"(images|annotations)"\s*:\s*\[')
MEND = "a COCO folder has annotations/instances_<split>.json and the images in <split>/"


@dataclass(frozen=True)
class SplitFiles:
    """The files of one split."""

    split: str
    """Its name there; the file's name where that names no split."""
    file: Path
    roots: tuple[Path, ...]
    """Folders that `file_name` may be relative to, the likeliest first."""
    folder: Path
    """The folder of the data set."""


def key(name: str) -> str:
    """Return the name without differences of case and Unicode form."""
    return unicodedata.normalize("NFC", name).casefold()


def role(name: str) -> str | None:
    """Return train, val or test where `name` is a name of that role: `Train`, `valid`, `val2017`, `train_set`."""
    words = [word for word in re.findall(r"[^\W\d_]+", key(name)) if word not in _GENERIC]
    found = [which for which, known in ROLES.items() if words and words[0] in known]
    return found[0] if found and len(words) == 1 else None


def find_split(folder: Path, split: str) -> SplitFiles | None:
    """Return the split of that name, else the one of the same role; None without one. DataError where several match."""
    files = [*_canonical(folder)]
    if not any(name == split for name, _ in files):
        files += [pair for pair in _others(folder) if pair not in files]
    asked = role(split)
    rules = (
        lambda name: name == split,
        lambda name: key(name) == key(split),
        lambda name: asked is not None and role(name) == asked,
    )
    for rule in rules:
        found = [pair for pair in files if pair[0] and rule(pair[0])]
        if len(found) > 1:
            raise DataError(
                f"split {split!r} must have one annotation file, but {folder} has "
                f"{', '.join(str(file.relative_to(folder)) for _, file in found)}: name the one that is meant by its "
                f"split ({', '.join(dict.fromkeys(name for name, _ in found))}), or move the others away."
            )
        if found:
            return _place(folder, *found[0])
    return None


def find_whole(folder: Path) -> SplitFiles | None:
    """Return the only annotation file where it names no split: all images in one. DataError where there are several."""
    files = list(dict.fromkeys([*_canonical(folder), *_others(folder)]))
    if any(role(name) for name, _ in files) or not files:
        return None
    if len(files) > 1:
        names = ", ".join(str(file.relative_to(folder)) for _, file in files)
        known = [name for name, _ in files if name]
        mend = (
            f"say which is which, as --splits {known[0]},{known[1]} (in a plan data.train and data.val)"
            if len(set(known)) > 1
            else "keep one, or name them annotations/instances_train.json and annotations/instances_val.json"
        )
        raise DataError(f"the annotation files of a data set must say their splits, but {folder} has {names}: {mend}.")
    return _place(folder, *files[0])


def missing(folder: Path, split: str) -> DataError:
    """Return the error that says why there is no such split, and what to do."""
    if not folder.is_dir():
        mend = f"unpack it (unzip {folder} -d FOLDER) and give that folder" if folder.suffix == ".zip" else MEND
        what = "a file" if folder.is_file() else "no folder"
        return DataError(f"the data folder must exist, but {folder} is {what}: {mend}.")
    names = [name or file.name for name, file in dict.fromkeys([*_canonical(folder), *_others(folder)])]
    mend, place = MEND, folder / "annotations" / f"instances_{split}.json"
    if names:
        mend = f"name one of those by --splits TRAIN,VAL or --split (in a plan data.train and data.val); {MEND}"
    elif found := foreign_format(folder):
        return DataError(f"a data set must have annotations in COCO's format, but {folder} {found}.")
    elif deeper := [child for child in _folders(folder) if [*_canonical(child), *_others(child)]]:
        mend = f"it lies one folder deeper, so give {deeper[0]}"
    return DataError(
        f"split {split!r} must have an annotation file, but {place} is missing (splits found: "
        f"{', '.join(sorted(names)) or 'none'}): {mend}."
    )


def check_folder(folder: Path, train: str = "train", val: str = "val") -> None:
    """Raise DataError where `folder` has no such splits to train on, before anything is read or loaded."""
    if not folder.is_dir() or not (find_split(folder, train) or (role(train) == "train" and find_whole(folder))):
        raise missing(folder, train)
    if not (find_split(folder, val) or role(val) == "val"):
        raise missing(folder, val)


def _canonical(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (split, file) of COCO's own file names, whatever their content; the split is '' where the name has none."""
    for file in _files(folder / "annotations"):
        if match := re.fullmatch(r"instances_(.+)\.json", file.name):
            yield ("" if key(match[1]) in _GENERIC else match[1]), file


def _others(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (split, file) of the other places that tools use, for files whose content looks like COCO."""
    below = _folders(folder)
    for parent in (folder, *below, *(child / "annotations" for child in below)):
        found = [file for file in _files(parent) if file.suffix.lower() == ".json"]
        for file in found[:_SNIFFED]:
            if not file.name.startswith(_OTHER_TASKS) and _is_coco(file):
                yield _named(file, folder), file


def _named(file: Path, folder: Path) -> str:
    """Return the split of a file: the words of its name that are not generic, else its folder's name, else ''."""
    words = [word for word in re.split(r"[._\-\s]+", file.stem) if word and key(word) not in _GENERIC]
    if words:
        return re.sub(r"^instances_", "", file.stem) if len(words) > 1 else words[0]
    parents = [parent for parent in file.parents if parent != folder and folder in parent.parents]
    return next((parent.name for parent in parents if key(parent.name) not in _GENERIC), "")


def _is_coco(file: Path) -> bool:
    """Whether the file starts an object and has COCO's list of images or annotations, in any encoding of JSON."""
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD)
            opened.seek(max(0, file.stat().st_size - _TAIL))
            tail = opened.read(_TAIL)
    except OSError:
        return False
    head, tail = head.replace(b"\0", b""), tail.replace(b"\0", b"")
    return head.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1] == b"{" and bool(_LISTS.search(head) or _LISTS.search(tail))


def _place(folder: Path, split: str, file: Path) -> SplitFiles:
    return SplitFiles(split or file.name, file, tuple(_roots(folder, split, file)), folder)


def _roots(folder: Path, split: str, file: Path) -> list[Path]:
    beside = file.parent
    bases = list(
        dict.fromkeys([beside.parent if beside != folder and key(beside.name) in _GENERIC else beside, folder])
    )
    own = [place for base in bases for place in _own(base, split)]
    shared = [base / name for base in bases for name in _PICTURES]
    roots = [*own, *([beside] if role(beside.name) else []), *shared, *bases, beside]
    return [place for place in dict.fromkeys(roots) if place.is_dir()]


def _own(base: Path, split: str) -> Iterator[Path]:
    """Yield folders of this split's images: base/<split>, base/images/<split>, base/<split>/images and the like."""
    for parent in (base, *(base / name for name in _PICTURES)):
        for child in sorted(_folders(parent), key=lambda child: (child.name != split, key(child.name) != key(split))):
            same = key(child.name) == key(split or "default") or (role(split) and role(child.name) == role(split))
            if same:
                yield child
                yield from (child / name for name in _PICTURES)


def _folders(folder: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in _entries(folder) if entry.is_dir())


def _files(folder: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in _entries(folder) if entry.is_file() and entry.name.endswith("json"))


def _entries(folder: Path) -> Iterable[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return []
