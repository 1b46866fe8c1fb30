"""The whole detector: golden shapes and numbers, memory layouts, the meta device, export."""

from __future__ import annotations

import dataclasses
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from scalesearch.arch.backbone import EfficientNet
from scalesearch.arch.networks import ONE_SPAN, TOPOLOGIES, bifpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.price import price
from scalesearch.nn.anchors import anchor_boxes
from scalesearch.nn.detector import Detector, build
from scalesearch.nn.losses import assign, detection_loss
from scalesearch.nn.postprocess import detect


def _small(**changes: Any) -> DetectorSpec:
    small = dataclasses.replace(named("d0", classes=7, size=(72, 100)), repeats=1, width=16, head_width=24)
    return dataclasses.replace(small, backbone=EfficientNet(width=0.25, depth=0.5), **changes)


def _image(spec: DetectorSpec, batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, *spec.size, generator=torch.Generator().manual_seed(0))


def _built(spec: DetectorSpec, seed: int = 0) -> Detector:
    torch.manual_seed(seed)
    return build(spec)


@pytest.mark.parametrize("name", ["d0", "d1", "d3", "d7"])
def test_the_published_family_has_the_published_parameters_and_shapes(name: str) -> None:
    spec = named(name)
    with torch.device("meta"):
        detector = build(spec)
        outputs = detector(torch.empty(1, 3, *spec.size))
    anchors = {"d0": 49_104, "d1": 76_725, "d3": 150_381, "d7": 441_936}[name]
    assert outputs.class_logits.shape == (1, anchors, 90)
    assert outputs.box_deltas.shape == (1, anchors, 4)
    assert sum(p.numel() for p in detector.parameters()) == price(spec).params


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("span", [(2, 5), (3, 6), (3, 8), (4, 7), (5, 8)])
def test_every_span_of_levels_runs_forward_and_backward(topology: str, span: tuple[int, int]) -> None:
    spec = _small(topology=TOPOLOGIES[topology](*ONE_SPAN.get(topology, span), "fast"))
    detector = _built(spec)
    outputs = detector(_image(spec))
    cells = sum(h * w for h, w in (spec.map_size(level) for level in spec.levels))
    assert outputs.class_logits.shape == (2, 9 * cells, 7)
    assert outputs.box_deltas.shape == (2, 9 * cells, 4)
    (outputs.class_logits.square().sum() + outputs.box_deltas.square().sum()).backward()
    without = [name for name, p in detector.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"padding": "symmetric", "bias_before_norm": False, "order": "conv_norm_act"},
        {"separable": False, "activation": "relu", "down": "max_tight", "laterals": "level", "extra_levels": "pool"},
        {"activation": "hard_swish", "down": "avg", "up": "bilinear", "head_depth": 0},
        {"activation": "relu6", "down": "bilinear", "topology": bifpn(fusion="channel_softmax")},
    ],
    ids=str,
)
def test_layout_changes_no_number_and_the_fast_ways_are_the_plain_ones(changes: dict[str, Any]) -> None:
    """channels_last, contiguous, in inference, in training: outputs and gradients agree in float64."""
    spec = dataclasses.replace(_small(), **changes)
    detector, image = _built(spec).double(), _image(spec).double()
    results = []
    for layout in (torch.channels_last, torch.contiguous_format):
        model = _built(spec).double()
        model.load_state_dict(detector.state_dict())
        model = model.to(memory_format=layout).train()  # type: ignore[call-overload]
        outputs = model(image.to(memory_format=layout))
        (outputs.class_logits.sigmoid().sum() + outputs.box_deltas.square().sum()).backward()
        grads = [p.grad for p in model.parameters()]
        with torch.no_grad():
            results.append([*outputs, *model.eval()(image.to(memory_format=layout)), *grads])
    for ours, plain in zip(*results, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-7, atol=1e-9)


def test_golden_numbers() -> None:
    """A change of numerics must be seen: means of outputs that were right when this was written.

    They were: `test_effdet.py` holds for the same modules.
    """
    spec = named("d0", classes=3, size=(64, 96))
    detector = _filled(build(spec)).double().eval()
    with torch.no_grad():
        image = torch.linspace(-1, 1, 3 * 64 * 96, dtype=torch.float64).view(1, 3, 64, 96)
        logits, deltas = detector(image)
    assert logits.shape == (1, 1161, 3)
    found = [logits.abs().mean().item(), logits.std().item(), deltas.abs().mean().item(), deltas.std().item()]
    assert found == pytest.approx(GOLDEN, rel=1e-6)


GOLDEN = [0.10386358840, 0.13512762791, 0.08566093288, 0.11030784204]


def _filled(module: nn.Module) -> nn.Module:
    """Weights that depend on names and shapes alone, not on a generator."""
    with torch.no_grad():
        for number, (name, p) in enumerate(sorted(module.named_parameters())):
            phase = torch.arange(p.numel(), dtype=torch.float64) * 0.7 + number
            scale = 1.5 / max(1, p[0].numel()) ** 0.5 if p.ndim == 4 else 0.1
            p.copy_((phase.sin() * scale + (1 if "bn" in name and name.endswith("weight") else 0)).view_as(p))
    return module


def test_an_image_of_another_size_is_refused() -> None:
    detector = _built(_small())
    for shape in ((1, 3, 100, 72), (1, 1, 72, 100), (3, 72, 100), (1, 72, 100, 3)):
        message = rf"takes images \[B, 3, 72, 100\] .* but got \[{', '.join(map(str, shape))}\]; resize"
        with pytest.raises(ValueError, match=message):
            detector(torch.zeros(shape))


def test_images_of_a_batch_do_not_meet_in_inference() -> None:
    spec = _small()
    detector, image = _built(spec).eval(), _image(spec)
    with torch.no_grad():
        both, first = detector(image), detector(image[:1])
    torch.testing.assert_close(both.class_logits[:1], first.class_logits, rtol=1e-4, atol=1e-5)


def test_inference_writes_over_nothing_that_is_needed() -> None:
    spec = _small()
    detector, image = _built(spec).eval(), _image(spec)
    kept = image.clone()
    with torch.no_grad():
        first, second = detector(image), detector(image)
    torch.testing.assert_close(image, kept, rtol=0, atol=0)
    torch.testing.assert_close(first, second, rtol=0, atol=0)


def test_the_graph_exports_with_static_sizes() -> None:
    spec = _small()
    detector, image = _built(spec).eval(), _image(spec, 1)
    program = torch.export.export(detector, (image,))
    with torch.no_grad():
        torch.testing.assert_close(tuple(program.module()(image)), tuple(detector(image)), rtol=1e-4, atol=1e-5)
    kinds = Counter(str(node.target) for node in program.graph.nodes if node.op == "call_function")
    # Only plain convolutions: an export has none of the CPU's matrix products.
    assert not any("mm" in kind for kind in kinds)


@pytest.mark.parametrize(("classes", "size"), [(1, (200, 72)), (2, (33, 250)), (1000, (96, 70))])
def test_any_number_of_classes_on_any_rectangle_trains_and_detects(classes: int, size: tuple[int, int]) -> None:
    spec = dataclasses.replace(_small(size=size), classes=classes)
    detector, anchors = _built(spec), anchor_boxes(spec)
    outputs = detector(_image(spec))
    assert outputs.class_logits.shape == (2, len(anchors), classes)
    height, width = size
    boxes = torch.tensor([[[1.0, 2.0, width / 2, height / 2]], [[width / 3, 3.0, width - 1.0, height - 1.0]]])
    labels = torch.tensor([[classes - 1], [0]])
    detection_loss(outputs, assign(anchors, boxes, labels)).total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())
    with torch.no_grad():
        for method in ("hard", "soft"):
            for found in detect(detector.eval()(_image(spec)), anchors, size, method=method):
                assert 0 < len(found.scores) <= 100 and found.labels.max() < classes
                assert (found.boxes >= 0).all() and (found.boxes <= torch.tensor([width, height] * 2)).all()
