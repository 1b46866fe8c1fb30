"""Anchor boxes against effdet's, matching on hand-made boxes, and what the fitting rule must do."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torchvision.ops import box_iou

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.networks import bifpn
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.nn.anchors import (
    ENOUGH,
    Coverage,
    anchor_boxes,
    class_coverage,
    fit_anchors,
    match_counts,
    pairwise_iou,
)
from scalesearch.nn.detector import build


def spec(height: int, width: int, low: int = 3, high: int = 7, anchors: Anchors | None = None) -> DetectorSpec:
    return DetectorSpec(
        size=(height, width),
        classes=2,
        backbone=EfficientNet(width=0.25, depth=0.25),
        topology=bifpn(low, high),
        repeats=1,
        width=8,
        head_width=8,
        head_depth=0,
        anchors=anchors or Anchors(),
    )


def squares(*sides: float, at: float = 64.0) -> torch.Tensor:
    return torch.tensor([[at - s / 2, at - s / 2, at + s / 2, at + s / 2] for s in sides])


@pytest.mark.parametrize(("height", "width"), [(128, 128), (96, 160), (320, 320), (100, 140)])
def test_layout_is_effdets(height: int, width: int) -> None:
    effdet = pytest.importorskip("effdet.anchors")
    pairs = [(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)]
    theirs = effdet.Anchors(3, 7, 3, pairs, 4.0, (height, width)).boxes[:, [1, 0, 3, 2]]
    ours = anchor_boxes(spec(height, width, anchors=Anchors(aspects=tuple(pairs))))
    torch.testing.assert_close(ours, theirs.float())


@pytest.mark.parametrize(("height", "width", "low", "high"), [(64, 64, 3, 5), (96, 64, 2, 5), (65, 50, 3, 6)])
def test_as_many_as_the_detector_predicts(height: int, width: int, low: int, high: int) -> None:
    one = spec(height, width, low, high, Anchors(octaves=2))
    outputs = build(one).eval()(torch.zeros(1, 3, height, width))
    assert len(anchor_boxes(one)) == outputs.box_deltas.shape[1]


def test_a_cell_holds_octaves_then_aspects() -> None:
    boxes = anchor_boxes(spec(64, 64, anchors=Anchors(scale=2.0, octaves=2, aspects=((1, 1), (2, 0.5)))))
    sides = boxes[:, 2:] - boxes[:, :2]
    wanted = [[16, 16], [32, 8], [16 * 2**0.5, 16 * 2**0.5], [32 * 2**0.5, 8 * 2**0.5]]
    torch.testing.assert_close(sides[:4], torch.tensor(wanted))
    torch.testing.assert_close((boxes[:4, :2] + boxes[:4, 2:]) / 2, torch.full((4, 2), 4.0))


def test_iou_is_torchvisions() -> None:
    generator = torch.Generator().manual_seed(0)
    corners, sides = torch.rand(2, 7, 2, generator=generator), torch.rand(2, 7, 2, generator=generator)
    boxes = torch.cat([corners, corners + sides], dim=-1)
    ours = pairwise_iou(boxes, boxes[0])
    torch.testing.assert_close(ours, torch.stack([box_iou(b, boxes[0]) for b in boxes]))
    assert (pairwise_iou(torch.zeros(2, 3, 4), torch.zeros(5, 4)) == 0).all()


@pytest.mark.parametrize(("height", "width", "scale"), [(128, 128, 4.0), (96, 70, 2.0), (50, 120, 1.3)])
def test_counts_are_those_of_the_full_matrix(height: int, width: int, scale: float) -> None:
    generator = torch.Generator().manual_seed(2)
    corners = 60 * torch.rand(200, 2, generator=generator, dtype=torch.float64)
    boxes = torch.cat([corners, corners + 2 + 70 * torch.rand(200, 2, generator=generator, dtype=torch.float64)], dim=1)
    one = spec(height, width, anchors=Anchors(scale=scale))
    for iou in (0.5, 0.7):
        wanted = (pairwise_iou(boxes, anchor_boxes(one, dtype=torch.float64)) >= iou).sum(1)
        assert wanted.any() and match_counts(one, boxes, iou).tolist() == wanted.tolist()


def test_class_coverage_per_class() -> None:
    boxes = torch.cat([squares(32, 40, at=60.0), squares(4, 32, at=60.0)])
    first, second, third = class_coverage(spec(128, 128), boxes, torch.tensor([0, 0, 2, 2]), 3)
    assert (first.boxes, first.share, second, third.boxes, third.share) == (2, 1.0, Coverage(0, None, None), 2, 0.5)
    assert first.anchors_a_box is not None and first.anchors_a_box > 1
    assert class_coverage(spec(128, 128), boxes[:0], torch.tensor([]), 1) == [Coverage(0, None, None)]
    assert match_counts(spec(128, 128), boxes[:0]).tolist() == []


def test_published_anchors_stay_where_they_serve() -> None:
    boxes, labels = squares(40, 64, 90), torch.zeros(3, dtype=torch.int64)
    assert (match_counts(spec(128, 128), boxes) >= ENOUGH).all()
    assert fit_anchors(boxes, labels, spec(128, 128)) == Anchors()
    own = spec(128, 128, anchors=Anchors(scale=3))
    assert fit_anchors(boxes[:0], labels[:0], own) == own.anchors


def test_small_boxes_get_smaller_anchors() -> None:
    boxes, labels = squares(14, 16, 18, at=60.0), torch.zeros(3, dtype=torch.int64)
    fitted = fit_anchors(boxes, labels, spec(128, 128))
    assert fitted.scale < 3
    assert class_coverage(spec(128, 128), boxes, labels, 1)[0].share == 0.0
    assert class_coverage(spec(128, 128, anchors=fitted), boxes, labels, 1)[0].share == 1.0


def test_classes_count_alike_however_many_boxes_they_have() -> None:
    many, few = squares(*[40.0] * 50), squares(16, at=60.0)
    labels = torch.tensor([0] * 50 + [1])
    fitted = fit_anchors(torch.cat([many, few]), labels, spec(128, 128))
    assert match_counts(spec(128, 128, anchors=fitted), few)[0] > 0


def test_the_fit_does_not_depend_on_the_order_of_boxes() -> None:
    generator = torch.Generator().manual_seed(1)
    boxes = squares(*(8 + 60 * torch.rand(300, generator=generator)).tolist())
    labels = torch.randint(0, 3, (300,), generator=generator)
    order = torch.randperm(300, generator=generator)
    one = dataclasses.replace(spec(128, 128), classes=3)
    assert fit_anchors(boxes, labels, one) == fit_anchors(boxes[order], labels[order], one)


def test_lines_of_text_are_matched() -> None:
    """16 boxes of 96x6: out of reach of the ratios that are tried for others."""
    left, top = torch.arange(4.0).repeat_interleave(4) * 8, torch.arange(16.0) * 8
    boxes = torch.stack([left, top, left + 96, top + 6], 1)
    labels = torch.zeros(16, dtype=torch.long)
    assert class_coverage(spec(128, 128), boxes, labels, 1)[0].share == 0.0
    fitted = fit_anchors(boxes, labels, spec(128, 128))
    (own,) = class_coverage(dataclasses.replace(spec(128, 128), anchors=fitted), boxes, labels, 1)
    assert own.share is not None and own.share > 0.8
