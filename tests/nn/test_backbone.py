"""Backbones: EfficientNet against timm's own, timm's models whatever their layout, and refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.layers.drop import DropPath

from scalesearch.arch.backbone import B, EfficientNet, TimmBackbone, efficientnet_b
from scalesearch.arch.networks import bifpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.nn.backbone import TimmFeatures, build_backbone
from scalesearch.profile.resolve import resolve_spec


def _spec(backbone: EfficientNet | TimmBackbone, **changes: Any) -> DetectorSpec:
    return dataclasses.replace(named("d0", size=(72, 100)), backbone=backbone, **changes)


@pytest.mark.parametrize(
    ("name", "backbone", "changes"),
    [
        ("tf_efficientnet_b0", efficientnet_b(0), {}),
        ("efficientnet_b1", efficientnet_b(1), {"padding": "symmetric", "backbone_norm_eps": 1e-5}),
        ("tf_efficientnet_lite0", EfficientNet(lite=True), {"activation": "relu6"}),
    ],
)
def test_timms_own_efficientnet_gives_the_same_maps_with_the_same_weights(
    name: str, backbone: EfficientNet, changes: dict[str, Any]
) -> None:
    theirs = timm.create_model(name, features_only=True, out_indices=(2, 3, 4)).double().eval()
    ours = build_backbone(_spec(backbone, **changes)).double().eval()
    weights = theirs.state_dict()
    torch.manual_seed(0)
    for key, value in weights.items():
        if "running_var" in key:
            value.uniform_(0.5, 2)
    ours.load_state_dict(weights)
    image = torch.randn(1, 3, 72, 100, dtype=torch.float64)
    with torch.no_grad():
        for mine, reference in zip(ours(image), theirs(image), strict=True):
            torch.testing.assert_close(mine, reference, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("phi", sorted(B))
def test_channels_and_sizes_are_those_of_the_spec(phi: int) -> None:
    spec = _spec(efficientnet_b(phi), topology=bifpn(2, 7))
    with torch.device("meta"):
        maps = build_backbone(spec)(torch.empty(1, 3, *spec.size))
    expected = [(spec.backbone.channels(level), *spec.map_size(level)) for level in (2, 3, 4, 5)]
    assert [tuple(x.shape[1:]) for x in maps] == expected


def test_an_efficientnet_is_built_no_deeper_than_it_is_read() -> None:
    backbone = build_backbone(_spec(efficientnet_b(0), topology=bifpn(2, 4)))
    assert len(backbone.blocks) == 5  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["resnet18", "swin_tiny_patch4_window7_224", "mambaout_femto", "tiny_vit_5m_224"])
def test_timm_models_give_channels_first_maps_whatever_their_layout(name: str, tmp_path: Path) -> None:
    # swin has a built-in image size, and it and mambaout return channels-last maps.
    spec = dataclasses.replace(_spec(TimmBackbone(name=name)), size=(64, 96))
    spec = resolve_spec(spec, tmp_path)
    backbone = build_backbone(spec)
    maps = backbone(torch.randn(1, 3, 64, 96))
    assert [x.shape[1] for x in maps] == [spec.backbone.channels(level) for level in (3, 4, 5)]
    assert [tuple(x.shape[2:]) for x in maps] == [(8, 12), (4, 6), (2, 3)]


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "efficientnet_lite0", "resnet18", "pvt_v2_b0"])
def test_a_timm_model_is_built_no_deeper_than_it_is_read(name: str) -> None:
    model = TimmFeatures(name, (3, 4), (64, 96))
    sum(x.square().mean() for x in model(torch.randn(2, 3, 64, 96))).backward()  # type: ignore[union-attr]
    assert [key for key, p in model.named_parameters() if p.grad is None] == []


def test_a_timm_model_keeps_its_eps_unless_given_one_and_takes_the_momentum(tmp_path: Path) -> None:
    spec = resolve_spec(_spec(TimmBackbone(name="resnet18"), norm_momentum=0.05), tmp_path)
    norms = [m for m in build_backbone(spec).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-5, 0.05)}
    given = dataclasses.replace(spec, backbone_norm_eps=1e-4)
    norms = [m for m in build_backbone(given).modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {m.eps for m in norms} == {1e-4}


def test_an_unmeasured_backbone_is_refused(tmp_path: Path) -> None:
    bare = _spec(TimmBackbone(name="resnet18"))
    with pytest.raises(ValueError, match="'resnet18' is known only to timm and has not been measured; call"):
        build_backbone(bare)
    known = resolve_spec(bare, tmp_path).backbone
    with pytest.raises(ValueError, match="'resnet18' was measured at levels 3, 4, 5, not at 2; call"):
        known.channels(2)
    elsewhere = dataclasses.replace(resolve_spec(bare, tmp_path), size=(64, 64))
    with pytest.raises(ValueError, match="'resnet18' has not been measured at 64x64, .* call"):
        build_backbone(elsewhere)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet18a", "a model of timm .*, but got 'resnet18a'; the nearest names are .*resnet18"),
        ("hf_hub:timm/resnet18", "a model of timm .*, but got 'hf_hub:timm/resnet18'"),
        ("levit_128s", "needs a map at stride 8 for level 3, but timm's 'levit_128s' has strides 16, 32, 64; take"),
        ("vit_tiny_patch16_224", "stride 8 for level 3, but timm's 'vit_tiny_patch16_224' has strides 16;"),
    ],
)
def test_models_that_cannot_serve_are_refused_with_the_reason(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimmFeatures(name, (3, 4, 5), (64, 64))


# ---- pretrained ----


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of test_resnet's weights in the hub's cache: random ones, whose first kernel is 0.5."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    place = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    for folder in ("refs", f"snapshots/{'a' * 40}"):
        (place / folder).mkdir(parents=True)
    (place / "refs" / "main").write_text("a" * 40)
    model = timm.create_model("test_resnet")
    torch.nn.init.constant_(model.conv1[0].weight, 0.5)
    save_file(model.state_dict(), file := place / "snapshots" / ("a" * 40) / "model.safetensors")
    return file


def test_pretrained_weights_arrive_in_the_backbone(cached: Path, tmp_path: Path) -> None:
    spec = resolve_spec(_spec(TimmBackbone(name="test_resnet"), size=(64, 64)), tmp_path)
    for pretrained in (False, True):
        weight = build_backbone(spec, pretrained=pretrained).get_parameter("model.conv1.0.weight")
        assert bool((weight == 0.5).all()) is pretrained


def test_pretrained_weights_that_cannot_be_had_are_an_error_with_a_mend(cached: Path, tmp_path: Path) -> None:
    cached.write_bytes(b"broken")
    spec = resolve_spec(_spec(TimmBackbone(name="test_resnet"), size=(64, 64)), tmp_path)
    with pytest.raises(ValueError, match=r"of timm's 'test_resnet' could not be loaded from .*; move that file away"):
        build_backbone(spec, pretrained=True)
    with pytest.raises(ValueError, match="are those of a timm model, but the backbone is efficientnet-w1-d1; take"):
        build_backbone(_spec(efficientnet_b(0)), pretrained=True)


def _rates(model: torch.nn.Module) -> list[float]:
    return [round(m.drop_prob, 4) for m in model.modules() if isinstance(m, DropPath)]


def test_stochastic_depth_rises_with_depth_as_timms() -> None:
    theirs = timm.create_model("tf_efficientnet_b0", features_only=True, drop_path_rate=0.2)
    ours = build_backbone(_spec(efficientnet_b(0)), stochastic_depth=0.2)
    assert _rates(ours) == _rates(theirs) == [round(0.2 * i / 16, 4) for i in range(1, 16)]
    # The rule counts the whole backbone's blocks, also where fewer are built.
    assert _rates(build_backbone(_spec(efficientnet_b(0), topology=bifpn(2, 4)), stochastic_depth=0.2)) == [
        round(0.2 * i / 16, 4) for i in range(1, 11)
    ]
    assert _rates(build_backbone(_spec(efficientnet_b(0)))) == []


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "test_byobnet"])
def test_stochastic_depth_of_timms_models_trains_only(name: str) -> None:
    torch.manual_seed(0)
    model = TimmFeatures(name, (3, 4), (64, 64), stochastic_depth=0.9)
    images = torch.randn(8, 3, 64, 64)
    for norm in (module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        torch.nn.init.ones_(norm.weight)  # a ResNet's last one of a block starts at 0, and the block as nothing
    with torch.no_grad():
        assert torch.equal(model.eval()(images)[-1], model(images)[-1])
        assert not torch.equal(model.train()(images)[-1], model(images)[-1])


@pytest.mark.parametrize("name", ["vgg11", "densenet121"])
def test_a_backbone_without_residual_blocks_has_no_stochastic_depth(name: str) -> None:
    with pytest.raises(ValueError, match=f"timm's '{name}' has none that it can leave out; set stochastic_depth: 0"):
        TimmFeatures(name, (3, 4), (64, 64), stochastic_depth=0.1)
