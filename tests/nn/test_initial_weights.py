"""Initial weights: a backbone's alone by name or by order and shape, a detector's in part, and what is refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from scalesearch.arch.backbone import EfficientNet, TimmBackbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.detector import Detector, build
from scalesearch.nn.initial_weights import start_from
from scalesearch.profile.resolve import resolve_spec
from tests.detectors import TINY

RESNET = dataclasses.replace(TINY, backbone=TimmBackbone(name="test_resnet"), size=(64, 64))


def built(spec: DetectorSpec, seed: int = 1) -> Detector:
    torch.manual_seed(seed)
    return build(resolve_spec(spec)).eval()


def lively(model: nn.Module) -> nn.Module:
    """The model with norms of which no two are alike, as trained ones are."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
    return model.eval()


def part(model: nn.Module, name: str) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items() if key.startswith(name)}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items() if "num_batches" not in name)


@torch.no_grad()
def test_torchvisions_efficientnet_is_taken_by_order_and_computes_the_same(tmp_path: Path) -> None:
    theirs = lively(torchvision.models.efficientnet_b0())
    torch.save(theirs.state_dict(), tmp_path / "b0.pth")
    ours = built(dataclasses.replace(TINY, size=(64, 64), backbone=TimmBackbone(name="efficientnet_b0")))
    (line,) = start_from(ours, tmp_path / "b0.pth")
    assert line == (
        "b0.pth: all 304 tensors of the backbone taken by order and shape, as its names are others (features.0.0.weight for "
        "conv_stem.weight)"
    )
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    x, maps = images, []
    for i, stage in enumerate(theirs.features):  # type: ignore[union-attr,arg-type]
        x = stage(x)
        if i in (3, 5, 7):
            maps.append(x)
    for mine, other in zip(ours.backbone(images), maps, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
def test_timms_weights_are_taken_by_name(prefix: str, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    source = timm.create_model("test_resnet", num_classes=5).state_dict()
    weights, file = {f"{prefix}{name}": value for name, value in source.items()}, tmp_path / f"a.{suffix}"
    torch.save(weights, file) if suffix == "pth" else save_file(weights, file)
    detector = built(RESNET)
    before = part(detector, "neck")
    (line,) = start_from(detector, file)
    assert line.endswith("tensors of the backbone taken by name")
    own = {name.removeprefix("backbone.model."): value for name, value in part(detector, "backbone").items()}
    assert equal(own, source) and equal(part(detector, "neck"), before)


def test_timms_efficientnet_fits_the_closed_form(tmp_path: Path) -> None:
    source = timm.create_model("tf_efficientnet_lite0")
    torch.save(source.state_dict(), tmp_path / "a.pth")
    detector = built(dataclasses.replace(TINY, backbone=EfficientNet(lite=True), activation="relu6"))
    start_from(detector, tmp_path / "a.pth")
    own = {name.removeprefix("backbone."): value for name, value in part(detector, "backbone").items()}
    assert equal(own, source.state_dict())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"width": 24}, r"backbone (\d+) of \1, feature network \d+ of \d+, class head \d+ of \d+"),
        ({"repeats": 2}, r"class head (\d+) of \1, box head (\d+) of \2"),
        ({"head_depth": 2, "classes": 7}, r"feature network (\d+) of \1, class head \d+ of \d+"),
    ],
)
def test_a_detector_with_another_neck_or_heads_is_taken_in_part(changes: Any, told: str, tmp_path: Path) -> None:
    source, target = built(TINY, seed=0), built(dataclasses.replace(TINY, **changes))
    torch.save(source.state_dict(), tmp_path / "a.pth")
    (line,) = start_from(target, tmp_path / "a.pth")
    assert line.endswith("), the others start at random") and "\n" not in line
    assert re.search(told, line), line
    assert equal(part(source, "backbone"), part(target, "backbone"))
    shared = {
        name: value
        for name, value in source.state_dict().items()
        if name in target.state_dict() and value.shape == target.state_dict()[name].shape
    }
    assert equal(shared, target.state_dict()) and len(shared) < len(target.state_dict())


def test_other_classes_leave_the_prediction_alone(tmp_path: Path) -> None:
    torch.save(built(TINY).state_dict(), tmp_path / "a.pth")
    assert start_from(built(TINY), tmp_path / "a.pth") == ()
    lines = start_from(built(dataclasses.replace(TINY, classes=7)), tmp_path / "a.pth")
    assert len(lines) == 2 and all(line.startswith("not taken from a.pth: class_head.predict.") for line in lines)


@pytest.mark.parametrize("form", ["another model", "another size", "no order", "other kinds", "a part"])
def test_what_does_not_fit_is_refused_in_a_line_and_changes_nothing(form: str, tmp_path: Path) -> None:
    names = {"another model": "test_efficientnet", "another size": "resnet10t"}
    weights = timm.create_model(names.get(form, "test_resnet")).state_dict()
    weights = {name: value for name, value in weights.items() if "num_batches" not in name}
    file = tmp_path / "a.pth"
    if form in ("no order", "other kinds"):
        weights = {f"net{name.replace('.', '-', 1)}": value for name, value in weights.items()}
    if form == "other kinds":
        pairs = {"weight": "running_mean", "running_mean": "weight"}
        weights = {
            f"{name.rpartition('.')[0]}.{pairs.get(name.rpartition('.')[2], name.rpartition('.')[2])}": value
            for name, value in weights.items()
        }
    if form == "a part":
        weights = dict(list(weights.items())[:20])
    if form == "no order":
        file = tmp_path / "a.safetensors"
        save_file(weights, file)
    else:
        torch.save(weights, file)
    detector, untouched = built(RESNET), built(RESNET)
    with pytest.raises(
        ValueError, match=r"weights must fit their backbone, but of \d+ tensors of test_resnet"
    ) as caught:
        start_from(detector, file)
    assert len(str(caught.value)) <= 400 and "\n" not in str(caught.value)
    assert equal(detector.state_dict(), untouched.state_dict())
