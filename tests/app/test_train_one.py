"""`scalesearch train`: anchors are as the design says, and what cannot train is refused before the data is read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import PIL.Image
import pytest

from scalesearch.app.anchor_report import anchor_report
from scalesearch.app.trained_model import open_model
from scalesearch.arch.spec import Anchors
from scalesearch.data.sets import open_split
from scalesearch.plan.design import fits_anchors, read_design
from tests.app.conftest import Command, Trained

DESIGN = """
space: {backbone: efficientnet-w0.25-d0.25, topology: bifpn, width: 8, repeats: 1, head_depth: 1, size: 64, aspect: 0.75,
        min_level: 3, max_level: 5}
"""
SHORT = ("--set", "epochs=1", "--set", "norm_batches=1")


def said(done: object) -> str:
    return " ".join(f"{done.out} {done.err}".split())  # type: ignore[attr-defined]


@pytest.mark.parametrize("anchors", ["auto", "{scale: 3}", None])
def test_auto_anchors_of_a_design_are_fitted(
    trained: Trained, command: Command, tmp_path: Path, anchors: str | None
) -> None:
    design, run = tmp_path / "design.yaml", tmp_path / "run"
    design.write_text(DESIGN + (f"anchors: {anchors}\n" if anchors else ""))
    assert fits_anchors(str(design)) is (anchors == "auto")
    done = command("train", design, "--data", trained.data, "--out", run, *SHORT)
    assert done.status == 0, done.err
    found = open_model(run).spec
    assert ("anchors fitted to train: scale " in said(done)) is (anchors == "auto")
    if anchors == "auto":
        proposed = anchor_report(read_design(str(design)), open_split(str(trained.data), "train"))["proposed"][
            "anchors"
        ]
        assert (found.anchors.scale, found.anchors.octaves) == (proposed["scale"], proposed["octaves"])
        assert found.anchors != Anchors()
        again = command("train", run / "result.json", "--data", trained.data, "--out", run, *SHORT)
        assert again.status == 0 and "fitted" not in said(again)  # as resolved, it is the same training
    else:
        assert found.anchors == (Anchors(scale=3) if anchors else Anchors())


@pytest.mark.parametrize(
    ("design", "fits"), [("d0", False), ("none.yaml", False), ("anchors: auto: x", False), ("{}", False)]
)
def test_what_says_nothing_of_anchors_keeps_its_own(tmp_path: Path, design: str, fits: bool) -> None:
    if ":" in design or design == "{}":
        (file := tmp_path / "d.yaml").write_text(design)
        design = str(file)
    assert fits_anchors(design) is fits


def test_batch_norm_of_one_value_is_refused_before_the_data_is_read(trained: Trained, command: Command) -> None:
    done = command("train", "d0", "--data", trained.data, "--size", "128x128", "--set", "batch=1")
    assert done.status == 2 and "the map of level 7 is 1x1 at 128x128 and a batch is of one image" in done.err


def test_weights_of_other_classes_are_noted(trained: Trained, command: Command, tmp_path: Path) -> None:
    for split in ("train", "val"):
        file = trained.data / "annotations" / f"instances_{split}.json"
        document = json.loads(file.read_text())
        document["categories"] = [{"id": 7, "name": "cat"}, {"id": 3, "name": "red"}]
        (tmp_path / "data" / "annotations").mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / "annotations" / file.name).write_text(json.dumps(document))
        (tmp_path / "data" / split).symlink_to(trained.data / split)
    words = ("train", trained.design, "--weights", trained.folder / "last.pt", *SHORT)
    done = command(*words, "--data", tmp_path / "data", "--out", tmp_path / "run")
    assert done.status == 0, done.err
    assert "last.pt was trained on other classes, and these start from their weights: 'cat' from 'blue'" in said(done)
    done = command(*words, "--data", trained.data, "--out", tmp_path / "same")
    assert done.status == 0 and "other classes" not in said(done)


def spoilt(trained: Trained, folder: Path, keep: float) -> Path:
    """The data with the third picture of val as a JPEG of which only a part is there."""
    shutil.copytree(trained.data, folder)
    file = folder / "val" / "3.png"
    PIL.Image.open(file).save(file, "JPEG")
    file.write_bytes(file.read_bytes()[: round(keep * file.stat().st_size)])
    return folder


PLAN = """
band: {macs: {max: 1G}}
space: {backbone: efficientnet-w0.25-d0.25, width: [8, 16], repeats: 1, head_depth: 1, size: 64, aspect: 0.75, max_level: 5}
trials: 1
recipe: {epochs: 1, batch: 4, norm_batches: 1}
winners: {top: 0}
"""


@pytest.mark.parametrize("verb", ["train", "search"])
def test_a_picture_of_val_is_looked_at_before_anything_is_trained(
    trained: Trained, command: Command, tmp_path: Path, verb: str
) -> None:
    (plan := tmp_path / "plan.yaml").write_text(PLAN)
    words = ("search", plan) if verb == "search" else ("train", trained.design, *SHORT)
    done = command(*words, "--data", spoilt(trained, tmp_path / "bad", 0.3), "--out", tmp_path / "out")
    assert done.status == 2 and "val/3.png is" in done.err and not (tmp_path / "out").exists()
    done = command(*words, "--data", spoilt(trained, tmp_path / "cut", 0.99), "--out", tmp_path / "out")
    assert done.status == 0, done.err
    assert "1 of 6 images cut off: the missing last rows are grey" in said(done)
