"""The digits: numbers, sizes, overlap, no sample twice, the same each time."""

from __future__ import annotations

import hashlib
import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from scalesearch.data import digits
from scalesearch.data.coco import DataError, read_split
from scalesearch.data.digits import GROUPS, SIDE, draw_digits
from scalesearch.data.rendering import ink
from scalesearch.data.sets import open_data
from scalesearch.data.split import select_from
from tests.displays import watched

COUNTS = {"train": 60, "val": 30}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("digits")
    draw_digits(folder, COUNTS)
    return folder


def document(folder: Path, split: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "annotations" / f"instances_{split}.json").read_text())
    return read


def test_it_is_an_ordinary_coco_folder(folder: Path) -> None:
    for split, count in COUNTS.items():
        read = read_split(folder, split)
        assert len(read.images) == count and read.notes == ()
        assert [category.name for category in read.categories] == list("0123456789")
        assert {len(image.boxes) for image in read.images} == {5, 6, 7, 8}
        for image in read.images:
            with PIL.Image.open(image.file) as picture:
                assert (picture.size, picture.mode) == ((SIDE, SIDE), "RGB")


def test_sizes_span_the_range_evenly_on_a_log_scale(folder: Path) -> None:
    boxes = np.concatenate([image.boxes for split in COUNTS for image in read_split(folder, split).images])
    longest = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    assert 8 <= longest.min() <= 12 and 100 < longest.max() <= 112
    shares = np.histogram(np.log(longest / 8) / np.log(14), bins=4, range=(0, 1))[0] / len(longest)
    assert (shares > 0.18).all()


def test_no_two_boxes_overlap_much(folder: Path) -> None:
    for split in COUNTS:
        for image in read_split(folder, split).images:
            for one, other in combinations(image.boxes, 2):
                shared = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None).prod()
                areas = [(box[2:] - box[:2]).prod() for box in (one, other)]
                assert shared <= 0.1 * min(areas)


def test_no_handwriting_is_in_two_splits_or_groups(folder: Path) -> None:
    """By the samples drawn, and by the pools that they are drawn from."""
    used = {split: {item["sample"] for item in document(folder, split)["annotations"]} for split in COUNTS}
    assert len(used["train"]) > 200 and len(used["val"]) > 100 and not used["train"] & used["val"]
    rest, selected = (
        {item["sample"] for item in document(folder, "train")["annotations"] if item["image_id"] in ids}
        for ids in ({image.id for image in part.images} for part in select_from(read_split(folder, "train"), 0.2, 0))
    )
    assert rest and selected and not rest & selected
    pools = [pool for parts in digits._pools().values() for pool in parts]
    assert len(pools) == sum(GROUPS.values())
    assert sorted(np.concatenate([pool.positions for pool in pools]).tolist()) == list(range(1797))
    assert all(set(pool.digits.tolist()) == set(range(10)) for pool in pools)


def test_labels_are_those_of_the_handwriting(folder: Path) -> None:
    from sklearn.datasets import load_digits

    truth = load_digits().target
    for item in document(folder, "train")["annotations"]:
        assert item["category_id"] == truth[item["sample"]] + 1


def test_boxes_are_tight_to_the_ink() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    for pool in digits._pools()["val"]:
        for sample in range(0, 300, 7):
            for longest in (8, 30, 112):
                coverage = ink(rng, pool.images[sample], longest)
                assert max(coverage.shape) == longest
                edges = (coverage[0], coverage[-1], coverage[:, 0], coverage[:, -1])
                assert all(edge.max() >= 100 for edge in edges)
                assert coverage.max() >= 240


def test_digits_stand_out(folder: Path) -> None:
    """A digit's ink is at least 75 steps of brightness off the mean of its ground, before the noise."""
    for image in read_split(folder, "val").images[:10]:
        with PIL.Image.open(image.file) as picture:
            grey = np.asarray(picture.convert("L"), dtype=float)
        for left, top, right, bottom in image.boxes.astype(int):
            inside = grey[top:bottom, left:right]
            assert np.percentile(inside, 95) - np.percentile(inside, 5) > 40


def test_drawn_twice_is_the_same_and_fewer_are_the_beginning(folder: Path, tmp_path: Path) -> None:
    draw_digits(tmp_path, {"train": 4, "val": 2})
    for split, count in (("train", 4), ("val", 2)):
        before, after = document(folder, split), document(tmp_path, split)
        assert after["images"] == before["images"][:count]
        assert after["annotations"] == before["annotations"][: len(after["annotations"])]
        for image in after["images"]:
            one, other = (root / split / image["file_name"] for root in (folder, tmp_path))
            assert one.read_bytes() == other.read_bytes()


def test_the_drawing_is_the_one_that_version_1_names(folder: Path) -> None:
    """Samples and sizes only, since PIL may round places otherwise. A changed drawing needs another VERSION."""
    found = [
        (item["image_id"], item["category_id"], item["sample"], max(item["bbox"][2:]))
        for split in COUNTS
        for item in document(folder, split)["annotations"]
    ]
    assert digits.VERSION == 1
    assert hashlib.sha256(repr(found).encode()).hexdigest()[:12] == "2d67bcfec789"


def test_it_is_drawn_once_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digits, "COUNTS", {"train": 40, "val": 2})
    seen: list[tuple[int, int]] = []
    with watched(lambda done, of, what: seen.append((done, of))):
        data = open_data("digits")
    assert seen[-1] == (42, 42) and len(data.train.images) + len(data.select.images) == 40
    assert [file.name for file in (tmp_path / "cache").iterdir()] == ["digits-v1"]
    with watched(lambda *_: pytest.fail("drawn again")):
        assert open_data("digits").fingerprint == data.fingerprint


def test_an_interrupted_drawing_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))

    def interrupt(done: int, of: int, what: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watched(interrupt):
        digits.digits_folder()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cache folder must be writable, but .*file is not"):
        digits.digits_folder()
