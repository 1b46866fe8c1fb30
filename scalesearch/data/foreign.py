"""Recognition of other annotation formats, with the command that converts them to COCO. Standard library only."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

_LOOKED = 2_000
"""Most entries of a folder tree that are examined: the format shows early."""
_HEAD = 1 << 16


def foreign_format(folder: Path) -> str | None:
    """Return `is of the format X: COMMAND` where the folder's files have a known format, else None."""
    files = list(_files(folder))
    for recognise in (_yolo, _voc, _cvat, _per_picture, _other_exports):
        if found := recognise(folder, files):
            return found
    return None


def _files(folder: Path) -> Iterator[Path]:
    count = 0
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))[:50]
        texts = [
            name for name in sorted(names) if Path(name).suffix.lower() in (".txt", ".xml", ".json", ".yaml", ".csv")
        ]
        for name in texts[:100]:
            yield Path(parent, name)
            count += 1
            if count >= _LOOKED:
                return


def _yolo(folder: Path, files: list[Path]) -> str | None:
    """Recognise YOLO: `labels/` with a text file for each image, five numbers a line."""
    labels = [file for file in files if file.suffix == ".txt" and "labels" in file.parts and _is_yolo(file)]
    beside = [file for file in files if file.suffix == ".txt" and _is_yolo(file)]
    if not (labels or beside):
        return None
    place = (labels or beside)[0].parent
    parts = ["images" if part == "labels" else part for part in place.relative_to(folder).parts]
    pictures = folder.joinpath(*parts)
    split = next((part for part in parts if part not in ("images", ".")), "train")
    suffix = next((file.suffix for file in sorted(pictures.glob("*")) if file.suffix), ".jpg")
    return (
        f"is of YOLO's format: pip install globox, write the class names to names.txt, one a line in the order of "
        f"data.yaml, and for each split run globox convert -f yolov5 -d {pictures} -g {suffix} -m names.txt -F coco -A {place} "
        f"{folder}/annotations_{split}.json"
    )


def _is_yolo(file: Path) -> bool:
    line = _head(file).split("\n", 1)[0].split()
    try:
        values = [float(value) for value in line]
    except ValueError:
        return False
    return len(values) >= 5 and values[0] == int(values[0]) and all(0 <= value <= 1.001 for value in values[1:])


def _voc(folder: Path, files: list[Path]) -> str | None:
    found = [
        file for file in files if file.suffix == ".xml" and "<object>" in (text := _head(file)) and "<bndbox>" in text
    ]
    if not found:
        return None
    place = found[0].parent
    name = place.relative_to(folder).parts[:1]
    stem = f"annotations_{name[0]}" if name and name[0].lower() != "annotations" else "annotations"
    return (
        f"is of Pascal VOC's format: pip install globox, and for each folder of XML files run globox convert -f pascalvoc "
        f"-F coco -A {place} {folder}/{stem}.json"
    )


def _cvat(folder: Path, files: list[Path]) -> str | None:
    found = [file for file in files if file.suffix == ".xml" and "<meta>" in _head(file) and "<task>" in _head(file)]
    return (
        f"is CVAT's own format ({found[0].name}): export the task again as COCO 1.0, with its images" if found else None
    )


def _per_picture(folder: Path, files: list[Path]) -> str | None:
    """Recognise labelme and Supervisely: one JSON file for each image."""
    for file in [file for file in files if file.suffix == ".json"][:20]:
        head = _head(file)
        if '"shapes"' in head and '"imagePath"' in head:
            return f"is of labelme's own format: pip install labelme2coco, and run labelme2coco {file.parent} {folder}"
        if '"objects"' in head and '"classTitle"' in head:
            return "is of Supervisely's own format: run its app Export to COCO, and give what that writes"
    return None


def _other_exports(folder: Path, files: list[Path]) -> str | None:
    for file in files:
        if file.name.endswith("_annotations.createml.json") or file.name.endswith("_annotations.csv"):
            return f"is of another of Roboflow's formats ({file.name}): export it again as COCO"
        if file.suffix != ".json" or not _head(file).lstrip("\ufeff \n").startswith("["):
            continue
        try:
            first = json.loads(file.read_text(encoding="utf-8"))[0]
        except (OSError, ValueError, RecursionError, IndexError):
            continue
        if isinstance(first, dict) and "data" in first:
            return f"is of Label Studio's own format ({file.name}): export the project again as COCO with images"
        if isinstance(first, dict) and "annotations" in first and "image" in first:
            return f"is of CreateML's format ({file.name}): export it again as COCO"
    return None


def _head(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(_HEAD).decode("utf-8", "replace")
    except OSError:
        return ""
