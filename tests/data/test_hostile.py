"""Broken annotations, pictures and folders, kind by kind: refused by name, left out and counted, or taken as they are.

docs/data.md states the rule; test_coco.py and test_pixels.py hold the kinds that have tests of their own there.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from scalesearch.data.coco import Category, DataError, Split, read_split
from scalesearch.data.pixels import open_pixels
from scalesearch.data.sets import open_data

Document = dict[str, Any]
Change = Callable[[Document], object]


def place(folder: Path, split: str = "train") -> Path:
    return folder / "annotations" / f"instances_{split}.json"


def edit(folder: Path, change: Change, split: str = "train") -> None:
    document = json.loads(place(folder, split).read_text())
    change(document)
    place(folder, split).write_text(json.dumps(document))


def put(key: str, at: int = 2, /, **values: object) -> Change:
    return lambda document: document[key][at].update(values)


def lose(key: str, what: str, at: int = 2) -> Change:
    return lambda document: document[key][at].pop(what)


def both(*changes: Change) -> Change:
    return lambda document: [change(document) for change in changes]


REFUSED: dict[str, tuple[Change, str]] = {
    # the document
    "no annotations key": (lambda d: d.pop("annotations"), "'annotations' must be a list of objects"),
    "images is an object": (lambda d: d.update(images={}), "'images' must be a list of objects"),
    "an image is null": (lambda d: d["images"].append(None), "'images' must be a list of objects"),
    # categories
    "category id missing": (lose("categories", "id", 0), "each category must have 'id' as int, .*name 'blue' has None"),
    "category id a string of no annotation": (
        put("categories", 0, id="blue"),
        r"category_id must be among the categories, but id \d+ \(and \d+ more\) has 7 in .*: add it to 'categories'",
    ),
    "category id no text": (put("categories", 0, id=""), "'id' as int, but id '', name 'blue' has ''"),
    "category id a fraction": (put("categories", 0, id=7.5), "name 'blue' has 7.5"),
    "category id true": (put("categories", 0, id=True), "name 'blue' has True"),
    "category name missing": (lose("categories", "name", 0), "'name' as str, but id 7 has None"),
    "category name empty": (put("categories", 0, name=""), "'name' as str, but id 7.* has ''"),
    "category name twice": (
        put("categories", 0, name="red"),
        "names must differ, but 'red' occurs 2 times, with the ids 3, 7",
    ),
    "category id twice": (put("categories", 0, id=3), "category ids must differ, but 3 occurs 2 times"),
    # images
    "image id missing": (lose("images", "id"), "each image must have 'id' as int, but file_name '2.png' has None"),
    "image id a string of no annotation": (
        put("images", id="020"),
        r"image_id must be among the images, but id \d+ .*has 20 in .*: add it to 'images', or remove the annotation",
    ),
    "image id twice, once a string": (put("images", id="30"), "image ids must differ, but 30 occurs 2 times"),
    "image id twice, a word": (
        both(put("images", id="x"), put("images", 3, id="x")),
        "ids of images must differ, but 'x' occurs 2 times",
    ),
    "image ids file names, of no annotation": (
        lambda d: [item.update(image_id="x.png") for item in d["annotations"]],
        r"image_id must be among the images, but id \d+ \(and \d+ more\) has 'x.png'",
    ),
    "image id beyond a float": (put("images", id=2**60), "file_name '2.png' has 1152921504606846976"),
    "image id not a number": (put("images", id=float("nan")), "file_name '2.png' has nan"),
    "file name missing": (lose("images", "file_name"), "'file_name' as str, but id 20 has None"),
    "file name a number": (put("images", file_name=2), "'file_name' as str, but id 20, file_name 2 has 2"),
    "file name empty": (put("images", file_name=""), "'file_name' as str, but id 20.* has ''"),
    "file name absolute": (put("images", file_name="/etc/x.png"), "path below the split's folder, but '/etc/x.png'"),
    "file name with a drive": (put("images", file_name="C:\\data\\x.png"), r"below the split's folder, but 'C:"),
    "file name leaves": (put("images", file_name="../val/2.png"), "below the split's folder, but '../val/2.png'"),
    "file name with a null": (put("images", file_name="2\0.png"), "must exist, but .* is missing"),
    "file name of no length that exists": (put("images", file_name="2" * 300), "must exist, but .*222 is missing"),
    "file name of a folder": (put("images", file_name="."), "must exist, but .*train is missing"),
    "image listed twice": (put("images", file_name="1.png"), "file names of images must differ, but '1.png' occurs 2"),
    "image listed twice in two spellings": (put("images", file_name="./1.png"), "must differ, but '1.png' occurs 2"),
    "two images missing": (
        both(put("images", file_name="x.png"), put("images", 3, file_name="y.png")),
        r"must exist, but .*x.png \(and 1 more\) is missing: add it",
    ),
    "width true": (put("images", width=True), "'width' as int, but id 20, file_name '2.png' has True"),
    "width zero": (put("images", width=0), "width and height must be positive, but '2.png' has 0x48"),
    "height negative": (put("images", height=-48), "must be positive, but '2.png' has 64x-48"),
    "height a string": (put("images", height="48"), "'height' as int, but id 20, file_name '2.png' has '48'"),
    # annotations
    "annotation of no image": (lose("annotations", "image_id"), "'image_id' as int, but id 2 has None"),
    "annotation of an unknown image": (put("annotations", image_id=5), "among the images, but id 2 has 5"),
    "annotations of unknown images": (
        both(put("annotations", image_id=5), put("annotations", 3, image_id=6)),
        r"among the images, but id 2 \(and 1 more\) has 5",
    ),
    "annotation of an image 'true'": (put("annotations", image_id=True), "'image_id' as int, but id 2 has True"),
    "annotation of a list of images": (put("annotations", image_id=[10]), r"'image_id' as int, but id 2 has \[10\]"),
    "annotation of no class": (lose("annotations", "category_id"), "'category_id' as int, but id 2 has None"),
    "annotation of an unknown class": (put("annotations", category_id=4), "among the categories, but id 2 has 4"),
    "annotation of the background": (put("annotations", category_id=0), "among the categories, but id 2 has 0"),
    "annotation twice": (
        lambda d: d["annotations"].append(dict(d["annotations"][2])),
        r"each annotation must be listed once, but id 2 is there again .*\(1 such in .* keep one of each",
    ),
    "boxes in 0..1": (
        lambda d: [i.update(bbox=(np.array(i["bbox"]) / (64, 48, 64, 48)).tolist()) for i in d["annotations"]],
        "boxes must be in pixels, but .* multiply x and width by the image's width",
    ),
    "box missing": (lose("annotations", "bbox"), "bbox must be four numbers .*but id 2 has None"),
    "box null": (put("annotations", bbox=None), "four numbers .*but id 2 has None"),
    "box of three": (put("annotations", bbox=[1, 2, 3]), r"four numbers .*but id 2 has \[1, 2, 3\]"),
    "box of five": (put("annotations", bbox=[1, 2, 3, 4, 0.5]), "four numbers .*but id 2"),
    "box of strings": (put("annotations", bbox=["1", "2", "3", "4"]), "four numbers .*but id 2 has \\['1'"),
    "box with a null": (put("annotations", bbox=[1, 2, None, 4]), "four numbers .*but id 2"),
    "box with a true": (put("annotations", bbox=[1, 2, True, 4]), "four numbers .*but id 2"),
    "box an object": (put("annotations", bbox={"x": 1}), "four numbers .*but id 2 has \\{'x': 1\\}"),
    "boxes broken, two": (
        both(put("annotations", bbox=[]), put("annotations", 3, bbox="1 2 3 4")),
        r"four numbers .*but id 2 \(and 1 more\) has \[\]",
    ),
    "segmentation only": (
        both(lose("annotations", "bbox"), put("annotations", segmentation=[["1", 2, 9, 2, 9, 9]])),
        "but id 2 has None in .*: its segmentation is neither polygons nor a run-length mask",
    ),
    "area negative": (put("annotations", area=-1), "area must be a positive number, but id 2 has -1"),
    "area not a number": (put("annotations", area=float("nan")), "area must be a positive number, but id 2 has nan"),
    "area of 400 digits": (put("annotations", area=10**400), "area must be a positive number, but id 2"),
    "area a string": (put("annotations", area="12"), "area must be a positive number, but id 2 has '12'"),
    "iscrowd a string": (put("annotations", iscrowd="1"), "iscrowd must be 0 or 1, but id 2 has '1'"),
    "iscrowd 2": (put("annotations", iscrowd=2), "iscrowd must be 0 or 1, but id 2 has 2"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_makes_numbers_wrong_is_refused(coco: Path, kind: str) -> None:
    change, said = REFUSED[kind]
    edit(coco, change)
    with pytest.raises(DataError, match=said) as raised:
        read_split(coco, "train")
    assert "instances_train.json" in str(raised.value) and "\n" not in str(raised.value)


COUNTED: dict[str, tuple[Change, int, str]] = {
    # kind -> (change of one of the boxes, how many are kept of it, the note)
    "box outside": (put("annotations", bbox=[70, 10, 5, 5]), 0, "1 of N boxes left out: outside their image"),
    "box far outside": (put("annotations", bbox=[1e308, 1e308, 1e308, 1e308]), 0, "left out: outside"),
    "box before the image": (put("annotations", bbox=[-20, 10, 20, 5]), 0, "left out: outside"),
    "box partly outside": (put("annotations", bbox=[60, 40, 30, 30]), 1, "1 of N boxes clipped to their image"),
    "box around the image": (put("annotations", bbox=[-9, -9, 200, 200]), 1, "1 of N boxes clipped"),
    "box of endless sides": (put("annotations", bbox=[1, 1, 1.7e308, 1.7e308]), 1, "1 of N boxes clipped"),
    "box of no width": (put("annotations", bbox=[10, 10, 0, 5]), 0, "1 of N boxes left out: no area"),
    "box of negative height": (put("annotations", bbox=[10, 10, 5, -5]), 0, "left out: no area"),
    "box of next to no width": (put("annotations", bbox=[10, 10, 1e-9, 5]), 0, "left out: outside"),
    "box not a number": (put("annotations", bbox=[float("nan"), 1, 2, 3]), 0, "1 of N boxes left out: not finite"),
    "box infinite": (put("annotations", bbox=[1, 1, float("inf"), 3]), 0, "left out: not finite"),
    "box of 400 digits": (put("annotations", bbox=[1, 1, 10**400, 3]), 0, "left out: not finite"),
    "box twice": (
        lambda d: d["annotations"].append(d["annotations"][2] | {"id": 99}),
        2,
        "1 of N boxes kept: copies of another of the same image and class",
    ),
    "area larger than the box": (put("annotations", area=1e4), 1, "1 of N areas kept: larger than their box"),
}


@pytest.mark.parametrize("kind", COUNTED)
def test_what_is_broken_by_itself_is_counted(coco: Path, kind: str) -> None:
    before = read_split(coco, "train")
    change, kept, said = COUNTED[kind]
    edit(coco, change)
    split = read_split(coco, "train")
    listed = len(json.loads(place(coco).read_text())["annotations"])
    (note,) = split.notes
    assert said.replace("of N", f"of {listed}") in note
    assert boxes_of(split) == boxes_of(before) - 1 + kept
    for image in split.images:
        assert (image.boxes >= 0).all() and (image.boxes <= (64, 48, 64, 48)).all()
        assert (image.boxes[:, 2:] > image.boxes[:, :2]).all() and np.isfinite(image.areas).all()


def boxes_of(split: Split) -> int:
    return sum(len(image.boxes) for image in split.images)


ACCEPTED: dict[str, Change] = {
    "iscrowd missing": lose("annotations", "iscrowd"),
    "iscrowd null": put("annotations", iscrowd=None),
    "iscrowd false": put("annotations", iscrowd=False),
    "area missing": lose("annotations", "area"),
    "area null": put("annotations", area=None),
    "annotation id missing": lose("annotations", "id"),
    "annotation id a word": put("annotations", id="second"),
    "annotation id a list": put("annotations", id=[2]),
    "image id a whole float": put("images", id=20.0),
    "image ids strings": lambda d: [item.update(id=str(item["id"])) for item in d["images"]],
    "an image_id a string": lambda d: d["annotations"][2].update(image_id=str(d["annotations"][2]["image_id"])),
    "all ids strings": lambda d: [
        item.update({key: str(item[key])})
        for items, keys in (
            ("images", ["id"]),
            ("categories", ["id"]),
            ("annotations", ["image_id", "category_id", "id"]),
        )
        for item in d[items]
        for key in keys
    ],
    "width a whole float": put("images", width=64.0),
    "image_id a whole float": lambda d: [item.update(image_id=float(item["image_id"])) for item in d["annotations"]],
    "category ids whole floats": lambda d: [item.update(id=float(item["id"])) for item in d["categories"]],
    "keys of no known name": both(put("images", weather="rain"), put("annotations", 2, score=0.4)),
    "an outline": put("annotations", segmentation={"counts": "aaaa", "size": [48, 64]}),
    "group a number": put("images", group=3),
    "an image without objects at the end": lambda d: d["images"].append(d["images"].pop(0)),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_what_is_harmless_changes_nothing(coco: Path, kind: str) -> None:
    before = {image.name: image for image in read_split(coco, "train").images}
    edit(coco, ACCEPTED[kind])
    split = read_split(coco, "train")
    assert split.notes == () and [category.id for category in split.categories] == [3, 7]
    assert all(type(image.id) is type(image.width) is int for image in split.images)
    for image in split.images:
        assert image.boxes.tolist() == before[image.name].boxes.tolist()
        assert image.labels.tolist() == before[image.name].labels.tolist()
        assert (image.id, image.crowd.tolist()) == (before[image.name].id, before[image.name].crowd.tolist())


def test_ids_that_are_words_are_numbered_alike_in_each_file(coco: Path) -> None:
    before = {split: read_split(coco, split) for split in ("train", "val")}

    def name(document: Document) -> None:
        images = {item["id"]: f"image {item['id']:04}" for item in document["images"]}
        for item in document["images"]:
            item["id"] = images[item["id"]]
        for item in document["annotations"]:
            item |= {"image_id": images[item["image_id"]], "category_id": {3: "red", 7: "blue"}[item["category_id"]]}
        for item in document["categories"]:
            item["id"] = item["name"]
        document["categories"].reverse()

    for split in ("train", "val"):
        edit(coco, name, split)
        found = read_split(coco, split)
        assert [(category.id, category.name) for category in found.categories] == [(1, "blue"), (2, "red")]
        assert found.texts.categories == {1: "blue", 2: "red"} and found.notes == ()
        for image, was in zip(found.images, before[split].images, strict=True):
            assert found.texts.images[image.id] == f"image {was.id:04}"
            names = [
                [one.categories[label].name for label in labels]
                for one, labels in ((found, image.labels), (before[split], was.labels))
            ]
            assert names[0] == names[1] and image.boxes.tolist() == was.boxes.tolist()


@pytest.mark.parametrize("kind", ["in each image", "all alike", "of another image"])
def test_annotation_ids_that_come_again_lose_no_box(coco: Path, kind: str) -> None:
    before = read_split(coco, "train")

    def number(document: Document) -> None:
        seen: dict[int, int] = {}
        for item in document["annotations"]:
            seen[item["image_id"]] = seen.get(item["image_id"], -1) + 1
            item["id"] = {"in each image": seen[item["image_id"]], "all alike": 0}.get(kind, item["id"])
        if kind == "of another image":
            document["annotations"][2]["id"] = document["annotations"][5]["id"]

    edit(coco, number)
    split = read_split(coco, "train")
    (note,) = split.notes
    assert "annotations renumbered: their ids were not unique" in note
    for image, was in zip(split.images, before.images, strict=True):
        assert image.boxes.tolist() == was.boxes.tolist() and image.labels.tolist() == was.labels.tolist()


def rooted(name: str) -> Change:
    """As Roboflow exports: the project is category 0, the classes are below it, and nothing is of category 0."""
    return both(
        lambda d: [item.update(supercategory=name) for item in d["categories"]],
        lambda d: d["categories"].insert(0, {"id": 0, "name": name, "supercategory": "none"}),
    )


@pytest.mark.parametrize("name", ["cells", "red"])
def test_the_root_of_an_export_is_no_class(coco: Path, name: str) -> None:
    before = open_data(coco)
    for split in ("train", "val"):
        edit(coco, rooted(name), split)
    data = open_data(coco)
    for split, was in ((data.train, before.train), (data.val, before.val)):
        assert split.categories == was.categories and split.roots == (Category(id=0, name=name),)
        assert all(a.labels.tolist() == b.labels.tolist() for a, b in zip(split.images, was.images, strict=True))
    assert data.fingerprint == before.fingerprint


def test_a_supercategory_with_a_box_anywhere_is_a_class(coco: Path) -> None:
    """The box is in train alone; val then has the class too, at the same place."""
    for split in ("train", "val"):
        edit(coco, rooted("thing"), split)
    edit(coco, put("annotations", category_id=0))
    data = open_data(coco)
    names = ["thing", "red", "blue"]
    assert [c.name for c in data.train.categories] == [c.name for c in data.val.categories] == names
    alone = read_split(coco, "val")
    assert alone.roots and {c.name for c in alone.categories} == {"red", "blue"}
    for image, was in zip(data.val.images, alone.images, strict=True):
        assert image.labels.tolist() == [label + 1 for label in was.labels.tolist()]


@pytest.mark.parametrize(("ids", "said"), [((-3, -7), (-7, -3)), ((0, 2**40), (0, 2**40)), ((90, 1), (1, 90))])
def test_category_ids_may_be_any_whole_numbers(coco: Path, ids: tuple[int, int], said: tuple[int, int]) -> None:
    new = {3: ids[0], 7: ids[1]}
    edit(coco, lambda d: [item.update(id=new[item["id"]]) for item in d["categories"]])
    edit(coco, lambda d: [item.update(category_id=new[item["category_id"]]) for item in d["annotations"]])
    split = read_split(coco, "train")
    assert tuple(category.id for category in split.categories) == said
    names = {new[3]: "red", new[7]: "blue"}
    assert [category.name for category in split.categories] == [names[id_] for id_ in said]


@pytest.mark.parametrize(
    "name", ["sub/deep/ä b.png", "图片.png", "a\U0001f600.png", "no suffix", "2.PNG.png", "-2.png"]
)
def test_file_names_may_be_any(coco: Path, name: str) -> None:
    file = coco / "train" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    (coco / "train" / "2.png").rename(file)
    edit(coco, put("images", file_name=name))
    split = read_split(coco, "train")
    assert (split.images[2].name, split.images[2].file) == (name, file)
    assert open_pixels(split, (24, 32)).array.shape == (10, 24, 32, 3)
    assert open_data(coco).fingerprint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "must be JSON, but .* is not"),
        (b"\xff\xd8\xff\xe0 a picture", "must be JSON"),
        (b"<annotation></annotation>", "must be JSON"),
        (b'{"images": [', "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (gzip.compress(b"{}", mtime=0), "is compressed by gzip: unpack it"),
        (b"[]", "must hold an object, but .* holds a list"),
        (b"null", "must hold an object, but .* holds a NoneType"),
        (b"{}", "'images' must be a list of objects"),
    ],
)
def test_what_is_no_annotation_file_is_refused(coco: Path, content: bytes, said: str) -> None:
    place(coco).write_bytes(content)
    with pytest.raises(DataError, match=said) as raised:
        read_split(coco, "train")
    assert "instances_train.json" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_other_encodings_of_json_are_read(coco: Path, encoding: str) -> None:
    edit(coco, put("categories", 0, name="naïve 蓝"))
    document = json.loads(place(coco).read_text())
    place(coco).write_text(json.dumps(document, ensure_ascii=False), encoding=encoding)
    assert {category.name for category in read_split(coco, "train").categories} == {"red", "naïve 蓝"}


# The splits together.


def test_a_split_without_objects_is_refused(coco: Path) -> None:
    edit(coco, lambda d: d["annotations"].clear(), "val")
    assert boxes_of(read_split(coco, "val")) == 0
    with pytest.raises(DataError, match=r"an object that is no crowd, but val of .* has none in 4 images"):
        open_data(coco)


def test_nothing_but_crowds_is_refused(coco: Path) -> None:
    edit(coco, lambda d: [item.update(iscrowd=1) for item in d["annotations"]])
    with pytest.raises(DataError, match=r"an object that is no crowd, but train minus 20 % \(seed 0\) of .* has none"):
        open_data(coco)


def test_a_class_that_only_val_has_boxes_of_is_noted(coco: Path) -> None:
    edit(coco, lambda d: [item.update(category_id=3) for item in d["annotations"]])
    data = open_data(coco)
    blue = sum(int(((image.labels == 1) & ~image.crowd).sum()) for image in data.val.images)
    assert blue > 0 and data.train.notes == ()
    (note,) = data.val.notes
    assert note.startswith(f"{blue} of ") and note.endswith("boxes kept: of classes without a box in train (blue)")


def test_val_with_other_classes_is_refused(coco: Path) -> None:
    new = both(
        lambda d: d["categories"].append({"id": 9, "name": "new"}),
        lambda d: [i.update(category_id=9) for i in d["annotations"]],
    )
    edit(coco, new, "val")
    with pytest.raises(DataError, match="must have the same categories, but .*only val has 9 'new'"):
        open_data(coco)


def test_an_image_that_trains_and_reports_is_refused(coco: Path) -> None:
    document = place(coco).read_text()
    place(coco, "test").write_text(document)
    (coco / "test").symlink_to(coco / "train")
    with pytest.raises(DataError, match=r"must not share images, but .*train/0.png is in both \(and 9 more\)"):
        open_data(coco, val="test")
    half = json.loads(document)
    for split, kept in (("train", range(5)), ("test", range(5, 10))):
        mine = {10 * number for number in kept}
        part = half | {"images": [i for i in half["images"] if i["id"] in mine]}
        place(coco, split).write_text(
            json.dumps(part | {"annotations": [a for a in half["annotations"] if a["image_id"] in mine]})
        )
    assert len(open_data(coco, val="test", select="val").val.images) == 5


def test_one_image_will_do_where_nothing_is_cut(coco: Path) -> None:
    def last_alone(document: Document) -> None:
        document["images"] = document["images"][-1:]
        document["annotations"] = [a for a in document["annotations"] if a["image_id"] == 90]

    edit(coco, last_alone)
    assert len(open_data(coco, select="val").train.images) == 1
    with pytest.raises(DataError, match="both sides of a cut need an image, but select=0.2 of the 1 images"):
        open_data(coco)


# Pictures.


NOISE = PIL.Image.fromarray(np.random.Generator(np.random.PCG64(0)).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def drawn(mode: str = "RGB", size: tuple[int, int] = (64, 48)) -> PIL.Image.Image:
    """A white picture with a black square in its top left corner."""
    picture = PIL.Image.new("RGB", size, (255, 255, 255))
    picture.paste((0, 0, 0), (0, 0, 16, 16))
    return picture.convert(mode)


def with_picture(split: Split, file: Path) -> Split:
    return replace(split, images=(*split.images[:4], replace(split.images[4], file=file)))


def saved(picture: PIL.Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def broken_png(part: bytes) -> bytes:
    """A PNG with the first byte of the chunk `part` turned over."""
    whole = bytearray(saved(NOISE, "PNG"))
    whole[whole.index(part) + 4] ^= 0xFF
    return bytes(whole)


def png_with(kind: bytes, data: bytes) -> bytes:
    """A good PNG with one more chunk after its header."""
    whole = saved(drawn(), "PNG")
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return whole[:33] + chunk + whole[33:]


EXIF_BROKEN = b"Exif\0\0II*\0\xff\xff\xff\xff"
PICTURES_REFUSED: dict[str, tuple[bytes, str]] = {
    "zero bytes": (b"", "must be readable, but .*bad.jpg is not"),
    "text": (b"404 Not Found", "must be readable, but .*bad.jpg is not"),
    "a page": (b"<!DOCTYPE html><html></html>", "must be readable"),
    "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "must be readable"),
    "JPEG cut in its header": (saved(drawn(), "JPEG")[:100], "must be readable"),
    "JPEG cut in its first rows": (
        saved(NOISE, "JPEG")[:1000],
        "must be whole, but .*bad.jpg is cut off after ..% of its rows",
    ),
    "PNG cut in its data": (saved(NOISE, "PNG")[:-2000], "must be readable"),
    "PNG with broken data": (broken_png(b"IDAT"), "must be readable"),
    "PNG with a broken header": (broken_png(b"IHDR"), "must be readable"),
    "GIF cut": (saved(drawn(), "GIF")[:60], "must be readable"),
    "WebP cut": (saved(NOISE, "WEBP")[:200], "must be readable"),
    "TIFF cut": (saved(drawn(), "TIFF")[:400], "must be readable"),
    "BMP cut": (saved(drawn(), "BMP")[:500], "must be readable"),
    "16 bits grey": (
        saved(PIL.Image.fromarray(np.zeros((48, 64), np.uint16)), "PNG"),
        "8 bits .*say their range .*mode I",
    ),
    "32 bits": (saved(PIL.Image.fromarray(np.zeros((48, 64), np.int32)), "TIFF"), "8 bits .*mode I"),
    "floats": (saved(PIL.Image.fromarray(np.zeros((48, 64), np.float32)), "TIFF"), "8 bits .*mode F"),
    "another size": (saved(drawn(size=(63, 48)), "PNG"), "is 63x48 and its annotation says 64x48"),
    "turned": (saved(drawn(size=(48, 64)), "PNG"), "is 48x64 and its annotation says 64x48"),
    "one pixel": (saved(drawn(size=(1, 1)), "PNG"), "is 1x1 and its annotation says 64x48"),
}


@pytest.mark.parametrize("kind", PICTURES_REFUSED)
def test_pictures_that_cannot_be_trusted_are_refused_by_name(coco: Path, kind: str) -> None:
    content, said = PICTURES_REFUSED[kind]
    (coco / "bad.jpg").write_bytes(content)
    with pytest.raises(DataError, match=said) as raised:
        open_pixels(with_picture(read_split(coco, "train"), coco / "bad.jpg"), (48, 64))
    assert "\n" not in str(raised.value) and str(raised.value).count("an image must") <= 1


PICTURES_TAKEN: dict[str, bytes] = {
    "grey JPEG": saved(drawn("L"), "JPEG", quality=98),
    "CMYK JPEG": saved(drawn("CMYK"), "JPEG", quality=98),
    "CMYK TIFF": saved(drawn("CMYK"), "TIFF"),
    "YCbCr TIFF": saved(drawn("YCbCr"), "TIFF"),
    "progressive JPEG": saved(drawn(), "JPEG", progressive=True, quality=98),
    "RGBA": saved(drawn("RGBA"), "PNG"),
    "LA": saved(drawn("LA"), "PNG"),
    "one bit": saved(drawn("1"), "PNG"),
    "palette": saved(drawn("P"), "PNG"),
    "palette, one colour transparent": saved(drawn("P"), "PNG", transparency=3),
    "palette, alphas in bytes": saved(drawn("P"), "PNG", transparency=bytes(range(256))),
    "grey, one transparent": saved(drawn("L"), "PNG", transparency=7),
    "RGB, one transparent": saved(drawn(), "PNG", transparency=(9, 9, 9)),
    "16 bits a channel, RGB": PIL.Image.new("RGB", (1, 1)).tobytes(),  # made below: PIL cannot write it
    "WebP": saved(drawn(), "WEBP", lossless=True),
    "GIF of two frames": saved(drawn(), "GIF", save_all=True, append_images=[NOISE]),
    "BMP": saved(drawn(), "BMP"),
    "bytes after the end": saved(drawn(), "PNG") + b"\0" * 64,
    "broken EXIF": saved(drawn(), "JPEG", exif=EXIF_BROKEN, quality=98),
    "EXIF that is no EXIF": png_with(b"eXIf", b"nothing like it"),
    "a chunk of no known kind": png_with(b"abCd", b"x"),
}


def png_16() -> bytes:
    """`drawn` as a PNG of 16 bits a channel."""
    rows = np.asarray(drawn()).astype(">u2") * 257
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 16, 2, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # PIL's own warning is enough
@pytest.mark.parametrize("kind", PICTURES_TAKEN)
def test_other_pictures_are_read_as_they_look(coco: Path, kind: str) -> None:
    if kind == "YCbCr TIFF" and int(PIL.__version__.split(".")[0]) < 13:
        pytest.skip("Pillow below 13 takes it for truncated, as the line then says")
    content = png_16() if kind.startswith("16 bits") else PICTURES_TAKEN[kind]
    (coco / "odd.jpg").write_bytes(content)
    shown = open_pixels(with_picture(read_split(coco, "train"), coco / "odd.jpg"), (48, 64)).array[4]
    wanted = np.asarray(drawn()).astype(int)
    assert np.abs(shown.astype(int) - wanted)[~edge()].max() <= 12


def edge() -> np.ndarray[Any, Any]:
    """Where lossy formats blur the square."""
    mask = np.zeros((48, 64), dtype=bool)
    mask[:20, 12:20] = mask[12:20, :20] = True
    return mask


@pytest.mark.parametrize("orientation", [0, 2, 3, 4, 5, 6, 7, 8, 9, 65535])
def test_exif_orientations(coco: Path, orientation: int) -> None:
    """Each of the eight puts the square where viewers show it; any other value is ignored."""
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored = (48, 64) if 5 <= orientation <= 8 else (64, 48)
    (coco / "odd.jpg").write_bytes(saved(drawn(size=stored), "JPEG", exif=exif, quality=98))
    shown = open_pixels(with_picture(read_split(coco, "train"), coco / "odd.jpg"), (48, 64)).array[4]
    right, below = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    corner = shown[-8 if below else 7, -8 if right else 7]
    assert (corner < 20).all() and 235 < shown.mean() - 0.0 + 255 * 256 / (48 * 64) < 260


def test_all_refused_pictures_are_named_at_once(coco: Path) -> None:
    for number in range(7):
        (coco / "train" / f"{number}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"and 2 more \(7 of the 10 images of train are refused\)") as raised:
        open_pixels(read_split(coco, "train"), (48, 64), coco / "cache")
    assert [f"{number}.png is not" in str(raised.value) for number in range(7)] == [True] * 5 + [False] * 2
    assert list((coco / "cache").iterdir()) == []


def test_a_picture_that_goes_after_reading_is_named(coco: Path) -> None:
    split = read_split(coco, "train")
    os.remove(coco / "train" / "4.png")
    with pytest.raises(DataError, match=r"must be readable, but .*4.png is not"):
        open_pixels(split, (48, 64))


def test_a_thousand_images_are_read_in_seconds(coco: Path) -> None:
    """COCO's size takes 13 s (docs/data.md); a check of each box against each shows at a hundredth of it."""
    import time

    for number in range(1000):
        os.link(coco / "train" / "9.png", coco / "train" / f"copy{number}.png")
    images = [{"id": 1000 + n, "file_name": f"copy{n}.png", "width": 64, "height": 48} for n in range(1000)]
    boxes = [{"id": 5000 + n, "image_id": 1000 + n % 1000, "category_id": 3} for n in range(9000)]
    boxes = [box | {"bbox": [n % 50, n % 40, 5 + n / 9000, 6]} for n, box in enumerate(boxes)]
    edit(coco, lambda d: (d["images"].extend(images), d["annotations"].extend(boxes)))
    start = time.process_time()
    split = read_split(coco, "train")
    assert len(split.images) == 1010 and time.process_time() - start < 8
