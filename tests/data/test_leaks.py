"""Held-out splits with flattered numbers, or with other classes than it seems: a line each, else silence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scalesearch.data.sets import open_data
from tests.conftest import write_coco

Document = dict[str, Any]


def edit(folder: Path, split: str, change: Callable[[Document], object]) -> None:
    file = folder / "annotations" / f"instances_{split}.json"
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))


def test_copies_of_training_images_are_noted(coco: Path) -> None:
    before = open_data(coco).val.notes
    for number in (2, 3):
        (coco / "val" / f"{number}.png").write_bytes((coco / "train" / f"{number + 4}.png").read_bytes())
    (note,) = set(open_data(coco).val.notes) - set(before)
    # The first image of each split of this data set is the same empty one, which flatters nothing.
    assert note.startswith("2 of 3 images with objects are in train too, byte for byte (2.png is 6.png there)")


def test_other_images_of_the_same_size_are_none(tmp_path: Path) -> None:
    for split, seed in (("train", 0), ("val", 1)):
        write_coco(tmp_path, split, count=6, seed=seed)
        for number in range(6):  # all of one size, and different at an end only
            (tmp_path / split / f"{number}.png").write_bytes(b"x" * 300_000 + f"{split}{number}".rjust(9).encode())
    assert open_data(tmp_path).val.notes == ()


@pytest.mark.parametrize(("shifted", "noted"), [(True, True), (False, False)])
def test_classes_that_mean_another_in_val_are_noted(tmp_path: Path, shifted: bool, noted: bool) -> None:
    for split, seed in (("train", 0), ("val", 1)):
        write_coco(tmp_path, split, count=30, seed=seed)
        rare = 7 if split == "train" or not shifted else 3
        kinds = {0: rare}

        def put(document: Document, kinds: dict[int, int] = kinds) -> None:
            for number, item in enumerate(document["annotations"]):
                item["category_id"] = kinds.get(number % 10, 10 - kinds[0])

        edit(tmp_path, split, put)
    notes = [note for note in open_data(tmp_path).val.notes if "other shares" in note]
    assert bool(notes) is noted
    assert not noted or "of the boxes there, 11% here): do ids mean the same in both files?" in notes[0]


@pytest.mark.parametrize(("other", "noted"), [(False, False), (True, True)])
def test_shares_that_differ_by_chance_are_not(tmp_path: Path, other: bool, noted: bool) -> None:
    """Each image has boxes of one class of 50: two random splits share hardly half of them."""
    for split, seed in (("train", 0), ("val", 1)):
        write_coco(tmp_path, split, count=40, seed=seed)
        rng = np.random.default_rng(seed)

        def put(document: Document, rng: np.random.Generator = rng, split: str = split) -> None:
            document["categories"] = [{"id": k, "name": f"kind {k}"} for k in range(100)]
            kinds = {image["id"]: int(rng.integers(50)) for image in document["images"]}
            for item in document["annotations"]:
                item["category_id"] = kinds[item["image_id"]] + (50 if other and split == "val" else 0)

        edit(tmp_path, split, put)
    notes = [note for note in open_data(tmp_path).val.notes if "other shares" in note]
    assert bool(notes) is noted
