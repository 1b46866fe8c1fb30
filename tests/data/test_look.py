"""Pictures are looked at before anything else: what fails is named at once, what was mended is counted."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from scalesearch.data.coco import read_split
from scalesearch.data.look import looked_at
from scalesearch.data.pixels import open_pixels
from scalesearch.data.split import DataError
from tests.displays import watched

CUT = "images cut off: the missing last rows are grey"


def as_jpeg(coco: Path, number: int, lost: int) -> None:
    """In place of the PNG, under its name: the suffix says nothing."""
    file = coco / "train" / f"{number}.png"
    PIL.Image.open(file).save(file, "JPEG")
    file.write_bytes(file.read_bytes()[:-lost])


def test_what_was_mended_is_counted(coco: Path, tmp_path: Path) -> None:
    for number in (3, 5):
        as_jpeg(coco, number, 2)
    split = read_split(coco, "train")
    steps: list[tuple[int, int]] = []
    for _ in range(2):
        with watched(lambda done, total, what: steps.append((done, total))):
            looked = looked_at(split, tmp_path / "cache")
        assert looked.notes == (f"2 of 10 {CUT}",) and looked.images == split.images
    assert steps == [(i, 10) for i in range(1, 11)]  # the second look is known from the first
    assert open_pixels(split, (24, 32)).array.shape == (10, 24, 32, 3)
    as_jpeg(coco, 7, 2)
    assert looked_at(split, tmp_path / "cache").notes == (f"3 of 10 {CUT}",)


def test_what_fails_is_named_each_time(coco: Path, tmp_path: Path) -> None:
    (coco / "train" / "4.png").write_bytes(b"no picture")
    as_jpeg(coco, 6, 600)
    for _ in range(2):
        with pytest.raises(DataError, match=r"4\.png is not .*6\.png is.*2 of the 10 images of train are refused"):
            looked_at(read_split(coco, "train"), tmp_path / "cache")
