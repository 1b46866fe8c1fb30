"""A detector small enough to be trained within a test."""

from __future__ import annotations

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.networks import bifpn
from scalesearch.arch.spec import Anchors, DetectorSpec

TINY = DetectorSpec(
    size=(48, 64),
    classes=2,
    backbone=EfficientNet(width=0.25, depth=0.25),
    topology=bifpn(3, 5),
    repeats=1,
    width=8,
    head_width=8,
    head_depth=1,
    anchors=Anchors(scale=1.5),
)
"""For the images of `tests.conftest.write_coco`."""
