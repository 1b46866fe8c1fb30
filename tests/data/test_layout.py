"""The layouts that labelling tools export: each is read as it is, or named in one line with the command that mends it."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from scalesearch.data.coco import DataError, Split, read_split
from scalesearch.data.layout import role
from scalesearch.data.sets import Data, open_data, open_split
from tests.conftest import write_coco

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


# Layouts with their own splits: the same images and boxes as the COCO folder that they were made of.


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


def same(split: Split, other: Split) -> bool:
    """The same boxes in the same pictures."""
    return len(split.images) == len(other.images) and all(
        np.array_equal(a.boxes, b.boxes) and np.array_equal(a.labels, b.labels) and a.file.read_bytes() == pixels
        for a, b, pixels in zip(split.images, other.images, BYTES[other.name], strict=True)
    )


BYTES: dict[str, list[bytes]] = {}


@pytest.mark.parametrize("layout", SPLIT)
def test_a_layout_with_splits_is_read_as_it_is(coco: Path, layout: Callable[[Path], None]) -> None:
    before = open_data(coco, select="val")
    BYTES.update({split.name: [i.file.read_bytes() for i in split.images] for split in (before.train, before.val)})
    layout(coco)
    after = open_data(coco, select="val")
    assert same(after.train, before.train) and same(after.val, before.val)
    assert after.train.notes == after.val.notes == ()
    assert role(after.val.name) == "val" and same(open_split(coco, "val"), before.val)
    assert same(open_split(coco, after.train.name), before.train)


# Layouts of one file for all images: val is cut by seed, by every command in the same way.


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


@pytest.mark.parametrize("layout", WHOLE)
def test_one_file_is_cut_into_train_and_val(coco: Path, layout: Callable[[Path], None]) -> None:
    first, second = (read_split(coco, split) for split in ("train", "val"))
    boxes = sorted(box for split in (first, second) for image in split.images for box in image.boxes.tolist())
    sizes = {(image.width, image.height) for image in first.images}
    layout(coco)
    data = open_data(coco)
    parts = (data.train, data.select, data.val)
    assert boxes == sorted(box for split in parts for image in split.images for box in image.boxes.tolist())
    assert sizes == {(image.width, image.height) for split in parts for image in split.images}
    files = [image.file for split in parts for image in split.images]
    assert len(set(files)) == len(files) == 14 and len(data.val.images) == 3
    assert data.val.name.startswith("20 % of ") and "cut from" in data.val.notes[-1]
    assert [image.file for image in open_split(coco, "val").images] == [image.file for image in data.val.images]
    whole = {image.file for image in open_split(coco, "train").images}
    assert whole == {image.file for split in parts[:2] for image in split.images}
    assert open_data(coco).fingerprint == data.fingerprint


def test_a_train_without_val_is_cut_and_a_test_stands_for_it(coco: Path) -> None:
    document = taken(coco, "val")
    data = open_data(coco)
    assert (len(data.train.images), len(data.select.images), len(data.val.images)) == (6, 2, 2)
    assert data.splits["val"] == "20 % of train (seed 0)" and data.whole == "train without val"
    (coco / "val").rename(coco / "test")
    put(coco / "annotations" / "instances_test.json", document)
    data = open_data(coco)
    assert data.splits["val"] == "test" and "stands for val" in data.val.notes[0]
    assert open_split(coco, "val").name == "test" and len(open_split(coco, "train").images) == 10


def test_copies_that_roboflow_made_of_one_picture_are_not_cut_apart(coco: Path) -> None:
    """Augmented exports have several of each, named after it."""
    document = taken(coco, "train")
    copies = renamed(document, lambda name: f"{int(name[:-4]) // 2}_png.rf.{name}")
    put(coco / "annotations" / "instances_train.json", copies)
    for number in range(10):
        (coco / "train" / f"{number}.png").rename(coco / "train" / f"{number // 2}_png.rf.{number}.png")
    data = open_data(coco)
    sources = [{image.name.split("_")[0] for image in split.images} for split in (data.train, data.select)]
    assert not sources[0] & sources[1] and len(data.select.images) == 2


# Pictures whose name differs.


@pytest.mark.parametrize(
    ("written", "there"),
    [
        ("A.PNG", "a.png"),
        ("sub\\2.png", "sub/2.png"),
        ("2.png", "sub/2.png"),
        ("away/2.png", "2.png"),
        ("away/2.png", "deep/away/2.png"),
        (unicodedata.normalize("NFD", "né.png"), unicodedata.normalize("NFC", "né.png")),
        ("/data/upload/7/0a1b2c3d-2.png", "2.png"),
        ("/data/local-files/?d=shots/2.png", "shots/2.png"),
        ("C:\\Users\\me\\2.png", "2.png"),
    ],
)
def test_a_picture_of_another_spelling_is_taken_and_told(coco: Path, written: str, there: str) -> None:
    document = taken(coco, "train")
    document["images"][2]["file_name"] = written
    put(coco / "annotations" / "instances_train.json", document)
    file = coco / "train" / there
    file.parent.mkdir(parents=True, exist_ok=True)
    (coco / "train" / "2.png").rename(file)
    split = read_split(coco, "train")
    assert split.images[2].file.samefile(file) and split.images[2].name == written
    assert split.notes == (
        f"1 of 10 images found under another path than their file_name, as train/{there} for {written!r}",
    )


def test_a_picture_of_two_that_it_could_be_is_pointed_at(coco: Path) -> None:
    for name in ("a", "b"):
        (coco / "train" / name).mkdir()
        shutil.copy(coco / "train" / "2.png", coco / "train" / name / "2.png")
    (coco / "train" / "2.png").unlink()
    with pytest.raises(
        DataError, match=r"2\.png is missing \(is it train/a/2\.png, train/b/2\.png or another\?\)|is it"
    ):
        read_split(coco, "train")


def test_a_picture_of_another_split_is_never_taken(coco: Path) -> None:
    (coco / "val" / "3.png").rename(coco / "val" / "9.jpg")
    with pytest.raises(DataError, match=r"val/3\.png is missing \(is it train/3\.png\?\)"):
        read_split(coco, "val")
    shutil.move(coco / "val" / "2.png", coco / "val" / "2.jpg")
    (coco / "train" / "2.png").unlink()
    with pytest.raises(DataError, match=r"val/2\.png \(and 1 more\) is missing \(is it val/2\.jpg\?\)"):
        read_split(coco, "val")


def test_two_names_of_one_picture_are_refused(coco: Path) -> None:
    document = taken(coco, "train")
    document["images"][2]["file_name"] = "away\\3.png"
    put(coco / "annotations" / "instances_train.json", document)
    with pytest.raises(DataError, match=r"file names of images must differ, but '3\.png' occurs 2 times"):
        read_split(coco, "train")


# Categories by name.


def test_val_may_list_fewer_categories_or_other_ids(coco: Path) -> None:
    before = open_data(coco).val
    document = taken(coco, "val")
    document["categories"] = [{"id": 0, "name": "blue"}, {"id": 1, "name": "red"}]
    for item in document["annotations"]:
        item["category_id"] = {7: 0, 3: 1}[item["category_id"]]
    put(coco / "annotations" / "instances_val.json", document)
    val = open_data(coco).val
    assert val.categories == before.categories and val.notes[-1].endswith("gives them other ids")
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(val.images, before.images, strict=True))
    document["annotations"] = [item for item in document["annotations"] if item["category_id"] == 1]
    document["categories"] = document["categories"][1:]
    put(coco / "annotations" / "instances_val.json", document)
    val = open_data(coco).val
    assert val.categories == before.categories and val.notes[-1].endswith("does not list all of them")
    assert {label for image in val.images for label in image.labels.tolist()} == {0}


# What is no COCO: named, with the command.


def empty(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    (folder / "images").mkdir(parents=True)
    PIL.Image.new("RGB", (8, 8)).save(folder / "images" / "a.png")
    return folder


def yolo(folder: Path) -> None:
    (folder / "labels").mkdir()
    (folder / "labels" / "a.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (folder / "data.yaml").write_text("train: images/train\nnames: [a]\n")


def voc(folder: Path) -> None:
    (folder / "Annotations").mkdir()
    (folder / "Annotations" / "a.xml").write_text("<annotation><object><bndbox></bndbox></object></annotation>")


def cvat_xml(folder: Path) -> None:
    (folder / "annotations.xml").write_text("<annotations><meta><task></task></meta></annotations>")


def labelme_files(folder: Path) -> None:
    put(folder / "images" / "a.json", {"version": "5.0", "shapes": [], "imagePath": "a.png"})


def label_studio_tasks(folder: Path) -> None:
    (folder / "tasks.json").write_text(json.dumps([{"id": 1, "annotations": [], "data": {"image": "a.png"}}]))


def supervisely_own(folder: Path) -> None:
    put(folder / "ds1" / "ann" / "a.png.json", {"size": {}, "objects": [{"classTitle": "a"}]})


def deeper(folder: Path) -> None:
    write_coco(folder / "inner", "train", count=2, seed=0)
    put(folder / "inner" / "train" / "_annotations.coco.json", taken(folder / "inner", "train"))


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        (
            yolo,
            r"is of YOLO's format: pip install globox, .*globox convert -f yolov5 -d \S+images -g .png -m names.txt",
        ),
        (
            voc,
            r"is of Pascal VOC's format: pip install globox, .*globox convert -f pascalvoc -F coco -A \S+Annotations",
        ),
        (cvat_xml, r"is CVAT's own format \(annotations.xml\): export the task again as COCO 1.0"),
        (labelme_files, r"is of labelme's own format: pip install labelme2coco, and run labelme2coco \S+images"),
        (label_studio_tasks, r"is of Label Studio's own format \(tasks.json\): export the project again as COCO"),
        (supervisely_own, "is of Supervisely's own format: run its app Export to COCO"),
        (lambda folder: None, r"instances_train.json is missing \(splits found: none\)"),
        (deeper, "one folder deeper, so give .*other/inner"),
    ],
)
def test_another_format_is_named_with_its_command(tmp_path: Path, layout: Callable[[Path], None], said: str) -> None:
    folder = empty(tmp_path)
    layout(folder)
    with pytest.raises(DataError, match=said) as raised:
        open_data(folder)
    assert "\n" not in str(raised.value)


def test_several_files_that_name_no_role_are_asked_about(coco: Path) -> None:
    for split, name in (("train", "one"), ("val", "two")):
        put(coco / "annotations" / f"instances_{name}.json", taken(coco, split))
        (coco / split).rename(coco / name)
    with pytest.raises(DataError, match=r"must say their splits, .*instances_one.json.*say which .* --splits one,two"):
        open_data(coco)
    data: Data = open_data(coco, train="one", val="two")
    assert data.splits["val"] == "two"


@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("Train", "train"),
        ("valid", "val"),
        ("val2017", "val"),
        ("Validation", "val"),
        ("trainval", None),
        ("dev", "val"),
    ],
)
def test_roles(name: str, which: str | None) -> None:
    assert role(name) == which
