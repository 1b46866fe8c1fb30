"""effdet 0.4.1 as the peer: its models' weights here give its outputs, and its detections.

At small sizes; `benchmarks/check_effdet.py` does the native ones and 384x640.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.peer import ANCHORS, MODELS, QUFPN, flat, largest_error, peer_model, peer_spec
from scalesearch.arch.backbone import TimmBackbone
from scalesearch.arch.scaling import named
from scalesearch.cost.price import price
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.checkpoints import effdet_order, load_weights
from scalesearch.nn.detector import Outputs, build
from scalesearch.nn.postprocess import Detections, detect
from scalesearch.profile.resolve import resolve_spec

pytest.importorskip("effdet", reason="effdet, the peer, is not installed")
SIZE = (128, 192)


def _images(size: tuple[int, int], batch: int = 1) -> Tensor:
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", MODELS)
def test_the_same_outputs_from_its_checkpoint(name: str, tmp_path: Path) -> None:
    spec = peer_spec(name, classes=5, size=SIZE)
    theirs = peer_model(name, spec)
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = build(spec).eval()
    assert not load_weights(ours, tmp_path / "weights.pth")
    shapes = [Counter(tuple(p.shape) for p in model.parameters()) for model in (theirs, ours)]
    assert shapes[0] == shapes[1]
    assert largest_error(theirs, ours, _images(SIZE), 5) < 1e-4
    assert largest_error(theirs.double(), ours.double(), _images(SIZE).double(), 5) < 1e-8


_WITH_TIMM: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    "resdet50": ("resnet50", 88, 4, {"activation": "relu", "separable": False}),
    "mobiledetv3_large": ("mobilenetv3_large_100", 64, 3, {"activation": "hard_swish"}),
    "efficientdetv2_dt": ("efficientnetv2_rw_t", 128, 5, {"down": "bilinear", "up": "bilinear"}),
}
"""effdet's name -> its backbone of timm, width, cells, and what differs from d0 besides."""


@pytest.mark.parametrize("name", _WITH_TIMM)
def test_its_models_with_other_backbones_are_a_timm_name(name: str, tmp_path: Path) -> None:
    backbone, width, repeats, fields = _WITH_TIMM[name]
    fields = {**fields, "padding": "symmetric", "bias_before_norm": False, "width": width, "head_width": width}
    d0 = named("d0", classes=2, size=SIZE)
    bare = dataclasses.replace(d0, backbone=TimmBackbone(name=backbone), repeats=repeats, **fields)
    spec = resolve_spec(bare, tmp_path)
    theirs, ours = peer_model(name, spec), build(spec).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    assert not load_weights(ours, tmp_path / "weights.pth")
    assert largest_error(theirs.double(), ours.double(), _images(SIZE).double(), 2) < 1e-8


@pytest.mark.parametrize("name", MODELS)
def test_its_parameters_are_priced(name: str) -> None:
    spec = peer_spec(name)
    with torch.device("meta"):
        theirs = peer_model(name, spec, seed=None)
    assert sum(p.numel() for p in theirs.parameters()) == price(spec).params


@pytest.mark.parametrize("name", ["efficientdet_q0", "tf_efficientdet_lite0"])
def test_sizes_that_128_does_not_divide(name: str, tmp_path: Path) -> None:
    spec = peer_spec(name, classes=2, size=(100, 72))
    theirs, ours = peer_model(name, spec), build(spec).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    load_weights(ours, tmp_path / "weights.pth")
    assert largest_error(theirs.double(), ours.double(), _images(spec.size).double(), 2) < 1e-8


def test_the_order_of_its_nodes() -> None:
    # google/automl's QuFPN ends with the coarsest level, effdet's with the finest last but in ascending order.
    nodes = (*QUFPN.nodes[:16], *reversed(QUFPN.nodes[16:]))
    assert effdet_order(type(QUFPN)(3, 7, nodes)) == [*range(16), 20, 19, 18, 17, 16]
    assert effdet_order(QUFPN) == list(range(21))
    assert effdet_order(peer_spec("efficientdet_d0").topology) == list(range(8))


# ---- detections ----


def _theirs(classes: list[Tensor], boxes: list[Tensor], spec: Any, anchors: Tensor, soft: bool) -> Detections:
    """What effdet's predicting bench makes of raw outputs of one image."""
    from effdet.anchors import generate_detections
    from effdet.bench import _post_process

    scores, deltas, indices, labels = _post_process(classes, boxes, len(spec.levels), spec.classes, 5000)
    size = torch.tensor([float(spec.size[1]), float(spec.size[0])])
    found = generate_detections(
        scores[0], deltas[0], anchors, indices[0], labels[0], torch.tensor(1.0), size, 100, soft
    )
    return Detections(found[:, :4], found[:, 4], found[:, 5].long() - 1)


def _raw(spec: Any, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Random maps of both heads: scores of which no two are equal."""
    generator = torch.Generator().manual_seed(seed)
    cells = [spec.map_size(level) for level in spec.levels]
    classes = [2 * torch.randn(1, 9 * spec.classes, *hw, generator=generator) - 4 for hw in cells]
    return classes, [0.3 * torch.randn(1, 36, *hw, generator=generator) for hw in cells]


@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize(("size", "classes"), [((192, 256), 1), ((128, 256), 3), ((100, 200), 90)])
def test_the_same_detections_from_the_same_outputs(size: tuple[int, int], classes: int, soft: bool) -> None:
    from effdet.anchors import Anchors

    spec = peer_spec("efficientdet_d0", size=size, classes=classes)
    theirs = Anchors(3, 7, 3, ANCHORS.aspects, 4.0, size).boxes
    mine = anchor_boxes(spec)
    torch.testing.assert_close(mine[:, [1, 0, 3, 2]], theirs, rtol=1e-6, atol=1e-4)
    raw = _raw(spec, seed=classes)
    outputs = Outputs(flat(raw[0], classes), flat(raw[1], 4))
    (found,) = detect(outputs, mine, size, method="soft" if soft else "hard")
    expected = _theirs(*raw, spec, theirs, soft)
    assert len(found.scores) == 100
    torch.testing.assert_close(found.scores, expected.scores, rtol=1e-5, atol=1e-6)
    assert found.labels.tolist() == expected.labels.tolist()
    torch.testing.assert_close(found.boxes, expected.boxes, rtol=1e-5, atol=1e-3)
