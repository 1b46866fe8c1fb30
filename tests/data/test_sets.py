"""Which images train, select and report, and the fingerprint."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from scalesearch.data.coco import DataError, Split, read_split, select_from
from scalesearch.data.sets import open_data


def names(split: Split) -> list[str]:
    return [image.name for image in split.images]


def test_a_cut_is_disjoint_whole_and_a_function_of_the_seed(coco: Path) -> None:
    train = read_split(coco, "train")
    rest, selected = select_from(train, 0.3, 5)
    assert len(selected.images) == 3 and len(rest.images) == 7
    assert sorted(names(rest) + names(selected)) == sorted(names(train))
    again = select_from(train, 0.3, 5)
    assert (names(again[0]), names(again[1])) == (names(rest), names(selected))
    assert len({tuple(names(select_from(train, 0.3, seed)[1])) for seed in range(5)}) > 1
    assert (rest.name, selected.name) == ("train minus 30 % (seed 5)", "30 % of train (seed 5)")


def test_a_cut_does_not_depend_on_the_order_of_the_file(coco: Path) -> None:
    train = read_split(coco, "train")
    backwards = replace(train, images=train.images[::-1])
    assert set(names(select_from(train, 0.3, 0)[1])) == set(names(select_from(backwards, 0.3, 0)[1]))


def test_groups_are_not_cut_apart(coco: Path) -> None:
    train = read_split(coco, "train")
    pairs = tuple(replace(image, group=str(number // 2)) for number, image in enumerate(train.images))
    for seed in range(6):
        rest, selected = select_from(replace(train, images=pairs), 0.4, seed)
        assert len(selected.images) == 4
        assert not {image.group for image in rest.images} & {image.group for image in selected.images}


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, 20])
def test_shares_outside_are_refused(coco: Path, share: float) -> None:
    with pytest.raises(DataError, match="0 < select < 1 must hold"):
        select_from(read_split(coco, "train"), share, 0)


def test_a_cut_that_leaves_one_side_empty_is_refused(coco: Path) -> None:
    with pytest.raises(DataError, match="both sides of a cut need an image"):
        select_from(read_split(coco, "train"), 0.99, 0)


def test_roles_say_what_they_are(coco: Path) -> None:
    data = open_data(coco)
    assert data.splits == {
        "train": "train minus 20 % (seed 0)",
        "select": "20 % of train (seed 0)",
        "val": "val",
    }
    assert (len(data.train.images), len(data.select.images), len(data.val.images)) == (8, 2, 4)
    on_val = open_data(str(coco), select="val")
    assert on_val.splits == {"train": "train", "select": "val", "val": "val"}
    assert names(on_val.select) == names(on_val.val)


def test_split_names_are_the_callers(coco: Path) -> None:
    (coco / "train").rename(coco / "train2017")
    annotations = coco / "annotations"
    (annotations / "instances_train.json").rename(annotations / "instances_train2017.json")
    assert open_data(coco, train="train2017").splits["select"] == "20 % of train2017 (seed 0)"
    with pytest.raises(DataError, match="must be different splits, but both are 'val'"):
        open_data(coco, train="val")


def test_the_fingerprint_is_of_the_content_and_the_cut(coco: Path, tmp_path: Path) -> None:
    first = open_data(coco)
    assert len(first.fingerprint) == 12 and int(first.fingerprint, 16) >= 0
    shutil.copytree(coco, tmp_path / "elsewhere")
    assert open_data(tmp_path / "elsewhere").fingerprint == first.fingerprint
    seen = {first.fingerprint}
    seen |= {open_data(coco, seed=1).fingerprint, open_data(coco, select=0.3).fingerprint}
    seen.add(open_data(coco, select="val").fingerprint)
    place = coco / "annotations" / "instances_val.json"
    document = json.loads(place.read_text())
    document["annotations"][-1]["bbox"][0] += 1
    place.write_text(json.dumps(document))
    seen.add(open_data(coco).fingerprint)
    with (coco / "train" / "3.png").open("ab") as file:
        file.write(b"\0")
    seen.add(open_data(coco).fingerprint)
    assert len(seen) == 6


def test_splits_with_other_categories_are_refused(coco: Path) -> None:
    place = coco / "annotations" / "instances_val.json"
    place.write_text(place.read_text().replace('"red"', '"green"'))
    with pytest.raises(DataError, match="only train has 3 'red'; only val has 3 'green'"):
        open_data(coco)
