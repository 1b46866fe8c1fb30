"""The layouts that labelling tools export: each is read as it is, or named in one line with the command that mends it."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from scalesearch.data.coco import DataError, Split, read_split
from scalesearch.data.layout import role
from scalesearch.data.sets import Data, open_data, open_split
from tests.conftest import write_coco
from tests.layouts import SPLIT, WHOLE, put, renamed, taken


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
    assert data.splits["val"] == "test" and "is used as val" in data.val.notes[0]
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
def test_a_picture_of_another_spelling_is_taken_and_noted(coco: Path, written: str, there: str) -> None:
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
