"""The layouts in which labelling tools export COCO, made of a COCO folder with the splits train and val.

Each function moves the files of the folder that it is given.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

Document = dict[str, Any]


def taken(folder: Path, split: str) -> Document:
    """The annotation file of a split, taken out of its place."""
    file = folder / "annotations" / f"instances_{split}.json"
    document: Document = json.loads(file.read_text())
    file.unlink()
    return document


def put(file: Path, document: Document) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(document))


def renamed(document: Document, name: Callable[[str], str]) -> Document:
    for entry in document["images"]:
        entry["file_name"] = name(entry["file_name"])
    return document


def joined(folder: Path) -> Document:
    """Both splits in one document and one folder `images`, numbered on, as tools without splits write them."""
    whole: Document = {"images": [], "annotations": [], "categories": []}
    for split in ("train", "val"):
        document = renamed(taken(folder, split), lambda name, split=split: f"{split}-{name}")  # type: ignore[misc]
        shift = 1000 * len(whole["images"])
        for entry in document["images"]:
            entry["id"] += shift
        for item in document["annotations"]:
            item |= {"image_id": item["image_id"] + shift, "id": len(whole["annotations"]) + 1}
            whole["annotations"].append(item)
        whole["images"] += document["images"]
        whole["categories"] = document["categories"]
        (folder / "images").mkdir(exist_ok=True)
        for file in (folder / split).iterdir():
            file.rename(folder / "images" / f"{split}-{file.name}")
        (folder / split).rmdir()
    (folder / "annotations").rmdir()
    return whole


# With their own splits: the same images and boxes as the COCO folder that they were made of.


def roboflow(folder: Path) -> None:
    for split, name in (("train", "train"), ("val", "valid")):
        document = taken(folder, split)
        document["info"] = {"year": "2026", "contributor": "", "date_created": "2026-11-30T00:00:00+00:00"}
        (folder / split).rename(folder / f"_{name}")
        (folder / f"_{name}").rename(folder / name)
        put(folder / name / "_annotations.coco.json", document)
    shutil.copytree(folder / "valid", folder / "test")
    (folder / "README.dataset.txt").write_text("exported")


def cvat_subsets(folder: Path) -> None:
    (folder / "images").mkdir()
    for split, name in (("train", "Train"), ("val", "Validation")):
        document = taken(folder, split)
        for item in document["annotations"]:
            item["attributes"] = {"occluded": False, "rotation": 0.0}
        put(folder / "annotations" / f"instances_{name}.json", document)
        (folder / split).rename(folder / "images" / name)


def fiftyone_splits(folder: Path) -> None:
    for split, name in (("train", "train"), ("val", "validation")):
        document = taken(folder, split)
        (folder / split).rename(folder / "moved")
        (folder / "moved").rename(folder / f"{name}-data")
        put(folder / name / "labels.json", document)
        (folder / f"{name}-data").rename(folder / name / "data")


def coco_2017(folder: Path) -> None:
    for split in ("train", "val"):
        put(folder / "annotations" / f"instances_{split}2017.json", taken(folder, split))
        (folder / "annotations" / f"captions_{split}2017.json").write_text('{"images": [], "annotations": []}')
        (folder / split).rename(folder / f"{split}2017")


def images_folder(folder: Path) -> None:
    (folder / "images").mkdir()
    for split in ("train", "val"):
        put(folder / "annotations" / f"{split}.json", taken(folder, split))
        (folder / split).rename(folder / "images" / split)


def one_pool(folder: Path) -> None:
    (folder / "images").mkdir()
    for split in ("train", "val"):
        put(folder / f"{split}_annotations.json", renamed(taken(folder, split), lambda name, s=split: f"{s}_{name}"))  # type: ignore[misc]
        for file in (folder / split).iterdir():
            file.rename(folder / "images" / f"{split}_{file.name}")
        (folder / split).rmdir()


def names_with_folders(folder: Path) -> None:
    for split in ("train", "val"):
        document = renamed(taken(folder, split), lambda name, s=split: f"{s}/{name}")  # type: ignore[misc]
        put(folder / "annotations" / f"instances_{split}.json", document)


def supervisely_datasets(folder: Path) -> None:
    for split in ("train", "val"):
        document = taken(folder, split)
        (folder / split).rename(folder / "moved")
        put(folder / split / "annotations" / "instances.json", document)
        (folder / "moved").rename(folder / split / "images")


SPLIT = [
    roboflow,
    cvat_subsets,
    fiftyone_splits,
    coco_2017,
    images_folder,
    one_pool,
    names_with_folders,
    supervisely_datasets,
]


# One file for all images.


def cvat(folder: Path) -> None:
    put(folder / "annotations" / "instances_default.json", joined(folder))


def cvat_default_folder(folder: Path) -> None:
    put(folder / "annotations" / "instances_default.json", joined(folder))
    (folder / "images").rename(folder / "moved")
    (folder / "images").mkdir()
    (folder / "moved").rename(folder / "images" / "default")


def label_studio(folder: Path) -> None:
    document = joined(folder)
    for entry in document["images"]:
        entry["file_name"] = f"images/{entry['id']:08x}-{entry['file_name']}"
        (folder / "images" / entry["file_name"].split("-", 1)[1]).rename(folder / entry["file_name"])
    for item in document["annotations"]:
        item |= {"ignore": 0, "segmentation": [], "bbox": [float(side) for side in item["bbox"]]}
        item["area"] = None if item["id"] % 2 else item["area"]
    put(folder / "result.json", document)


def label_studio_on_windows(folder: Path) -> None:
    label_studio(folder)
    document = json.loads((folder / "result.json").read_text())
    put(folder / "result.json", renamed(document, lambda name: name.replace("/", "\\")))


def label_studio_media(folder: Path) -> None:
    label_studio(folder)
    document = json.loads((folder / "result.json").read_text())
    media = "..\\..\\label-studio\\label-studio\\media\\upload\\4\\"
    put(folder / "result.json", renamed(document, lambda name: media + name.removeprefix("images/")))


def label_studio_own_pictures(folder: Path) -> None:
    """Exported without images: they lie beside under the names that they had before they were uploaded."""
    label_studio(folder)
    for file in (folder / "images").iterdir():
        file.rename(folder / "images" / file.name.split("-", 1)[1])


def labelme(folder: Path) -> None:
    """One file, polygons and no boxes; ids from 0 on."""
    document = renamed(joined(folder), lambda name: f"JPEGImages/{name}")
    (folder / "images").rename(folder / "JPEGImages")
    for item in document["annotations"]:
        x, y, width, height = item.pop("bbox")
        item["segmentation"] = [[x, y, x + width, y, x + width, y + height, x, y + height]]
        del item["iscrowd"], item["area"]
    put(folder / "annotations.json", document)


def fiftyone(folder: Path) -> None:
    put(folder / "labels.json", joined(folder))
    (folder / "images").rename(folder / "data")


def supervisely(folder: Path) -> None:
    put(folder / "ds1" / "annotations" / "instances.json", joined(folder))
    (folder / "images").rename(folder / "ds1" / "images")


def no_sizes_and_floats(folder: Path) -> None:
    document = joined(folder)
    for entry in document["images"]:
        del entry["width"], entry["height"]
        entry["id"] = float(entry["id"])
    for item in document["annotations"]:
        item["image_id"] = float(item["image_id"])
        del item["iscrowd"], item["area"]
    put(folder / "coco.json", document)


WHOLE = [
    cvat,
    cvat_default_folder,
    label_studio,
    label_studio_on_windows,
    label_studio_media,
    label_studio_own_pictures,
    labelme,
    fiftyone,
    supervisely,
    no_sizes_and_floats,
]
