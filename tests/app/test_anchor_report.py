"""`scalesearch anchors`: counts on boxes of known overlap, and output that the plan reader reads."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
import torch

from scalesearch.app.anchor_report import anchor_report
from scalesearch.arch.spec import Anchors, to_dict
from scalesearch.data.coco import read_split
from scalesearch.nn.anchors import anchor_boxes, pairwise_iou
from tests.app.conftest import Command, Trained
from tests.detectors import TINY

FAR = dataclasses.replace(TINY, anchors=Anchors(scale=8.0))
"""Anchors too large for every rectangle of the set."""


def test_shares_are_those_of_all_pairs(coco: Path) -> None:
    split = read_split(coco, "train")
    found = anchor_report(TINY, split)
    boxes = torch.cat([torch.from_numpy(image.boxes[~image.crowd]) for image in split.images])
    labels = torch.cat([torch.from_numpy(image.labels[~image.crowd]) for image in split.images])
    best = pairwise_iou(boxes, anchor_boxes(TINY)).amax(1)
    for name, chosen in (("all", labels >= 0), ("red", labels == 0), ("blue, small", labels == 1)):
        assert found["groups"][name] == int(chosen.sum())
        for iou, share in found["own"]["matched"][name]["share"].items():
            assert share == pytest.approx(float((best[chosen] >= float(iou)).double().mean()), abs=1e-9)
    assert found["groups"]["small"] == found["groups"]["all"]
    assert found["own"]["matched"]["large"] == {"share": {"0.4": None, "0.5": None, "0.6": None}, "anchors_a_box": None}


def test_sizes_are_of_the_original_pixels(coco: Path) -> None:
    """An input eight times as large leaves each box in its size class."""
    split = read_split(coco, "train")
    large = anchor_report(dataclasses.replace(TINY, size=(384, 512)), split)
    assert large["groups"] == anchor_report(TINY, split)["groups"]


def test_a_proposal_matches_more_and_can_be_pasted(coco: Path, command: Command, tmp_path: Path) -> None:
    design = tmp_path / "far.json"
    design.write_text(json.dumps(to_dict(FAR)))
    found = json.loads(command("anchors", design, "--data", coco, "--json").out)
    shares = [found[side]["matched"]["all"]["share"]["0.5"] for side in ("own", "proposed")]
    assert shares[0] < 0.1 and shares[1] > 0.6 and not found["same"]
    shown = command("anchors", "--data", coco, design)
    assert shown.status == 0 and f"{100 * shares[1]:.1f} %" in shown.out
    line = re.search(r"^  (anchors: .*)$", shown.out, re.MULTILINE)
    assert line
    pasted = tmp_path / "near.yaml"
    section = "{backbone: efficientnet-w0.25-d0.25, size: 64, aspect: 0.75, width: 8, repeats: 1, head_depth: 1, "
    pasted.write_text(f"space: {section}topology: bifpn, min_level: 3, max_level: 5}}\n{line[1]}\n")
    again = json.loads(command("anchors", pasted, "--data", coco, "--json").out)
    assert again["own"]["anchors"] == found["proposed"]["anchors"]
    assert again["own"]["matched"] == found["proposed"]["matched"]


def test_a_class_may_be_named_like_a_line_of_the_table(coco: Path, command: Command, trained: Trained) -> None:
    """A class may be named all or small, as the report's own lines are."""
    for split in ("train", "val"):
        place = coco / "annotations" / f"instances_{split}.json"
        place.write_text(place.read_text().replace('"red"', '"all"').replace('"blue"', '"small"'))
    plain = anchor_report(TINY, read_split(trained.data, "train"))["groups"]
    named = anchor_report(TINY, read_split(coco, "train"))["groups"]
    assert len(named) == len(plain) and named["all"] == named["class all"] + named["class small"] > named["class all"]
    run = coco / "run"
    done = command("train", trained.design, "--data", coco, "--set", "epochs=1", "--set", "batch=4", "--out", run)
    assert done.status == 0, done.err
    found = json.loads(command("eval", run, "--data", coco, "--json").out)
    assert found["boxes"] == sum(own["boxes"] for own in found["classes"].values())


def test_without_boxes_the_anchors_stay(coco: Path, command: Command, tmp_path: Path) -> None:
    place = coco / "annotations" / "instances_val.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"annotations": []}))
    done = command("anchors", "d0", "--data", coco, "--split", "val")
    assert done.status == 0 and "proposed: the same" in done.out
    assert command("anchors", "d11", "--data", coco).status == 2
    assert "Missing option '--data'" in command("anchors", "d0").err
