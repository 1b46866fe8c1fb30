"""Reading COCO folders: what is kept, what is mended and counted, what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scalesearch.data.coco import DataError, ground_truth, read_split

Document = dict[str, Any]


def edit(folder: Path, change: Callable[[Document], object], split: str = "train") -> None:
    place = folder / "annotations" / f"instances_{split}.json"
    document = json.loads(place.read_text())
    change(document)
    place.write_text(json.dumps(document))


def test_reads_what_is_written(coco: Path) -> None:
    document = json.loads((coco / "annotations" / "instances_train.json").read_text())
    split = read_split(coco, "train")
    assert [(category.id, category.name) for category in split.categories] == [(3, "red"), (7, "blue")]
    assert [image.id for image in split.images] == [10 * number for number in range(10)]
    assert len(split.images[0].boxes) == 0 and split.images[0].boxes.shape == (0, 4)
    assert split.images[1].crowd.tolist() == [False, True]
    assert split.notes == ()
    last = split.images[9]
    own = [item for item in document["annotations"] if item["image_id"] == 90]
    for box, label, item in zip(last.boxes, last.labels, own, strict=True):
        x, y, width, height = item["bbox"]
        assert box.tolist() == [x, y, x + width, y + height]
        assert split.categories[label].id == item["category_id"]
    kinds = [array.dtype.name for array in (last.boxes, last.labels, last.crowd, last.areas)]
    assert kinds == ["float32", "int64", "bool", "float64"]


def test_ground_truth_is_the_file_with_ids_from_one(coco: Path) -> None:
    document = json.loads((coco / "annotations" / "instances_train.json").read_text())
    truth = ground_truth(read_split(coco, "train"))
    assert truth["images"] == document["images"]
    assert [item["id"] for item in truth["annotations"]] == list(range(1, len(document["annotations"]) + 1))
    assert [item | {"id": 0} for item in truth["annotations"]] == [item | {"id": 0} for item in document["annotations"]]
    json.dumps(truth)


def test_annotations_may_come_in_any_order(coco: Path) -> None:
    before = read_split(coco, "train")
    edit(coco, lambda document: document["annotations"].sort(key=lambda item: (item["bbox"], item["id"])))
    after = read_split(coco, "train")
    for one, other in zip(before.images, after.images, strict=True):
        assert sorted(one.boxes.tolist()) == sorted(other.boxes.tolist())


@pytest.mark.parametrize(
    ("box", "kept", "note"),
    [
        ([50, 40, 30, 30], [50, 40, 64, 48], "clipped"),
        ([-5, -5, 10, 10], [0, 0, 5, 5], "clipped"),
        ([60, 40, 4.2, 8], [60, 40, 64, 48], None),
        ([70, 10, 5, 5], None, "outside"),
        ([10, 10, 0, 5], None, "no area"),
        ([10, 10, -4, 5], None, "no area"),
        ([math.nan, 10, 4, 5], None, "not finite"),
        ([10, 10, math.inf, 5], None, "not finite"),
    ],
)
def test_boxes_are_mended_or_left_out_and_counted(
    coco: Path, box: list[float], kept: list[float] | None, note: str | None
) -> None:
    item = {"id": 99, "image_id": 0, "category_id": 3, "bbox": box}
    edit(coco, lambda document: document["annotations"].append(item))
    split = read_split(coco, "train")
    assert split.images[0].boxes.tolist() == ([] if kept is None else [kept])
    assert len(split.notes) == (note is not None)
    assert note is None or (note in split.notes[0] and split.notes[0].startswith("1 of "))


def test_a_missing_area_is_the_boxs(coco: Path) -> None:
    item = {"id": 99, "image_id": 0, "category_id": 3, "bbox": [1, 2, 3, 4]}
    edit(coco, lambda document: document["annotations"].append(item))
    split = read_split(coco, "train")
    assert split.images[0].areas.tolist() == [12.0] and not split.images[0].crowd.any()


def _first(key: str, **values: object) -> Callable[[Document], object]:
    return lambda document: document[key][0].update(values)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda document: document["categories"].clear(), "'categories' must not be empty"),
        (lambda document: document.pop("categories"), "'categories' must be a list"),
        (lambda document: document["images"].clear(), "'images' must not be empty"),
        (lambda document: document.update(annotations=[1]), "'annotations' must be a list of objects"),
        (_first("annotations", category_id=4), "category_id must be among the categories.*has 4"),
        (_first("annotations", image_id=5), "image_id must be among the images.*has 5"),
        (_first("images", id=10), "image ids must differ, but 10 occurs 2 times"),
        (_first("images", file_name="1.png"), "file names of images must differ, but '1.png'"),
        (_first("images", file_name="no.png"), "must exist, but .*no.png is missing"),
        (_first("images", width=0), "must be positive, but '0.png' has 0x48"),
        (_first("images", height="48"), "must have 'height' as int, but id 0.* has '48'"),
        (_first("categories", id=3), "category ids must differ"),
        (_first("categories", name="red"), "category names must differ"),
        (_first("annotations", bbox=[1, 2, 3]), "four numbers.*has \\[1, 2, 3\\]"),
        (_first("annotations", bbox=[1, 2, "3", 4]), "four numbers"),
        (_first("annotations", area=-1), "area must be a positive number.*has -1"),
    ],
)
def test_broken_files_are_refused_in_one_line_with_the_place(
    coco: Path, change: Callable[[Document], object], said: str
) -> None:
    edit(coco, change)
    with pytest.raises(DataError, match=said) as raised:
        read_split(coco, "train")
    assert "instances_train.json" in str(raised.value) and "\n" not in str(raised.value)


def test_missing_places_are_named(coco: Path) -> None:
    with pytest.raises(DataError, match=r"the data folder must exist, but .*/nowhere is no folder"):
        read_split(coco / "nowhere", "train")
    with pytest.raises(DataError, match=r"instances_test.json is missing \(splits found: train, val\)"):
        read_split(coco, "test")
    (coco / "val").rename(coco / "away")
    with pytest.raises(DataError, match=r"images in a folder, but .*/val is missing"):
        read_split(coco, "val")


@pytest.mark.parametrize(("text", "said"), [("{", "must be JSON"), ("[]", "must hold an object.*holds a list")])
def test_what_is_no_coco_file_is_refused(coco: Path, text: str, said: str) -> None:
    (coco / "annotations" / "instances_train.json").write_text(text)
    with pytest.raises(DataError, match=said):
        read_split(coco, "train")
