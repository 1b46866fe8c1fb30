"""Fixtures of several rooms."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from scalesearch.cli import main

# Before torch is imported. The models here are too small for a second thread to be worth its waiting, and beside other
# work two threads take ten times as long as one; a training's bits depend on their number too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

COLOURS = {3: (220, 40, 40), 7: (40, 60, 220)}
"""COCO category id -> the colour of its rectangles. The ids have gaps."""


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    """A COCO folder: 10 train and 4 val images of 64x48, coloured rectangles on grey, two categories.

    The first image of each split is empty; the second has a crowd besides its objects.
    """
    folder = tmp_path / "coco"
    write_coco(folder, "train", count=10, seed=0)
    write_coco(folder, "val", count=4, seed=1)
    return folder


def write_coco(folder: Path, split: str, *, count: int, seed: int, width: int = 64, height: int = 48) -> None:
    """Paints `count` images with 0 to 3 rectangles of 8 to 20 pixels each, and writes their annotations."""
    rng = np.random.Generator(np.random.PCG64(seed))
    document: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 7, "name": "blue"}, {"id": 3, "name": "red"}],
    }
    for directory in (folder / "annotations", folder / split):
        directory.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        picture = np.full((height, width, 3), 128, dtype=np.uint8)
        image = {"id": 10 * number, "file_name": f"{number}.png", "width": width, "height": height}
        document["images"].append(image)
        for place in range(min(number, 3)):
            across, down = rng.integers(8, 21, 2).tolist()
            left, top = int(rng.integers(0, 64 - 20)), int(rng.integers(0, 48 - 20))
            category = (3, 7)[int(rng.integers(0, 2))]
            picture[top : top + down, left : left + across] = COLOURS[category]
            document["annotations"].append(
                {
                    "id": len(document["annotations"]),
                    "image_id": image["id"],
                    "category_id": category,
                    "bbox": [left, top, across, down],
                    "area": across * down,
                    "iscrowd": 0,
                }
            )
            if number == 1 and place == 0:
                crowd = {"id": 1, "image_id": 10, "category_id": 3, "bbox": [1, 2, 30, 20], "iscrowd": 1}
                document["annotations"].append(crowd | {"area": 450.5})
        PIL.Image.fromarray(picture).save(folder / split / f"{number}.png")
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(document))


@dataclass(frozen=True)
class Done:
    """The result of a command."""

    status: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command line as the console script does, in this process: to start Python and torch takes 3 s."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr("sys.argv", ["scalesearch", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        return Done(status, *capsys.readouterr())

    return run
