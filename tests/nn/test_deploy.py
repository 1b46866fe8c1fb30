"""Preparation for deployment: the same outputs from a graph without norms, in torch and under ONNX Runtime."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx

from benchmarks.peer import randomise
from scalesearch.arch.backbone import EfficientNet, TimmBackbone
from scalesearch.arch.networks import bifpn, panet
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.deploy import Prepared, export_onnx, folded, prepare
from scalesearch.nn.detector import Detector, Outputs, build
from scalesearch.profile.resolve import resolve_spec

SMALL: dict[str, Any] = {"repeats": 1, "width": 16, "head_width": 24, "head_depth": 1}
SPEC = dataclasses.replace(
    named("d0", classes=3, size=(72, 100)), backbone=EfficientNet(width=0.25, depth=0.3), topology=bifpn(3, 6), **SMALL
)


# Less to record, where a test is of numbers: no squeeze-and-excitation, two levels, no convolution in a head.
FEW = dataclasses.replace(
    SPEC, backbone=EfficientNet(width=0.25, depth=0.25, lite=True), topology=bifpn(3, 4), head_depth=0
)


def _built(spec: DetectorSpec) -> Detector:
    torch.manual_seed(0)
    detector = build(spec).eval()
    randomise(detector)
    return detector


def _images(spec: DetectorSpec, batch: int) -> Tensor:
    return torch.randn(batch, 3, *spec.size, generator=torch.Generator().manual_seed(1))


def _kinds(graph: fx.GraphModule) -> Counter[str]:
    return Counter(str(node.target).split(".")[1] for node in graph.graph.nodes if node.op == "call_function")


def _close(found: Outputs, expected: Outputs, error: float) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        assert float((one - other).abs().max() / other.abs().max()) < error


@pytest.mark.parametrize(
    "changes",
    [
        {"padding": "symmetric", "bias_before_norm": False, "order": "conv_norm_act", "activation": "relu"},
        {"separable": False, "activation": "hard_swish", "topology": panet(2, 5, "channel_softmax")},
        {"laterals": "level", "extra_levels": "pool", "down": "bilinear", "topology": bifpn(3, 8, "softmax")},
        {"backbone": EfficientNet(width=0.25, lite=True), "activation": "relu6", "head_depth": 0},
    ],
    ids=str,
)
def test_outputs_are_the_same_and_no_norm_is_left(changes: dict[str, Any]) -> None:
    spec = dataclasses.replace(SPEC, **changes)
    detector = _built(spec)
    before = {name: value.clone() for name, value in detector.state_dict().items()}
    prepared = prepare(detector)
    for batch in (1, 3):
        images = _images(spec, batch)
        with torch.no_grad():
            # Float32's rounding in a network of random weights; 1e-12 in float64, below.
            _close(prepared(images), detector(images), 5e-5)
    # The shares of a fusion are constants too, a convolution takes its activation along, and products are packed.
    kinds = _kinds(prepared.graph)
    assert not {"batch_norm", "relu", "softmax", "_assert_tensor_metadata", "conv2d", "linear"} & set(kinds)
    if spec.order == "conv_norm_act":
        assert kinds["_convolution_pointwise"] > 60 and kinds["relu_"] == 0
    assert all(torch.equal(before[name], value) for name, value in detector.state_dict().items())


@pytest.fixture(scope="module")
def plain() -> tuple[Detector, Prepared]:
    """A detector that is in training, and what it is prepared to."""
    detector = _built(SPEC).train()
    return detector, prepare(detector)


def test_a_heads_convolution_becomes_one_a_level(plain: tuple[Detector, Prepared]) -> None:
    graph = folded(plain[0])
    read = {node.target for node in graph.graph.nodes if node.op == "get_attr"}
    # In each head the norms of four levels went into four kernels; what no norm follows is still shared.
    kernels = [graph.get_buffer(name) for name in read if name.endswith("_weight") and "batch_norm" in name]
    assert "_convolution_pointwise" not in _kinds(graph)
    assert sum(tuple(kernel.shape) == (24, 16, 1, 1) for kernel in kernels) == 2 * 4
    assert "class_head.predict.conv_dw.weight" in read and "class_head.convs.0.conv_pw.weight" not in read


def test_a_training_detector_is_prepared_as_evaluating_and_stays_training(plain: tuple[Detector, Prepared]) -> None:
    detector, prepared = plain
    assert detector.training and detector.backbone.training
    images = _images(SPEC, 2)
    with torch.no_grad():
        _close(prepared(images), copy.deepcopy(detector).eval()(images), 1e-5)


def test_another_size_is_refused(plain: tuple[Detector, Prepared]) -> None:
    with pytest.raises(ValueError, match=r"prepared for images of \[3, 72, 100\], but got \[3, 64, 64\]; prepare"):
        plain[1](torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("name", ["resnetv2_18", "pvt_v2_b0"])
def test_backbones_of_timm_are_prepared_alike(name: str, tmp_path: Path) -> None:
    """Norms that no convolution comes before stay: before activations (resnetv2), layer norms (pvt)."""
    spec = resolve_spec(dataclasses.replace(SPEC, backbone=TimmBackbone(name=name), size=(64, 96)), tmp_path)
    detector, images = _built(spec), _images(spec, 2)
    with torch.no_grad():
        _close(prepare(detector)(images), detector(images), 1e-5)


def test_double_precision_folds_to_double_precision() -> None:
    detector, images = _built(FEW).double(), _images(FEW, 1).double()
    with torch.no_grad():
        _close(prepare(detector)(images), detector(images), 1e-12)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of onnx_ir and onnxscript
def test_onnx_runtime_gives_the_same_outputs(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    detector = _built(FEW)
    export_onnx(detector, tmp_path / "detector.onnx")
    session = runtime.InferenceSession(tmp_path / "detector.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        images = _images(FEW, batch)
        found = [torch.from_numpy(x) for x in session.run(None, {"images": images.numpy()})]
        with torch.no_grad():
            _close(Outputs(*found), detector(images), 1e-5)
