"""Identity, JSON, and what a spec refuses."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from scalesearch.arch.backbone import EfficientNet, Measured, TimmBackbone, parse
from scalesearch.arch.networks import bifpn
from scalesearch.arch.scaling import PUBLISHED, named
from scalesearch.arch.spec import Anchors, DetectorSpec, from_dict, to_dict
from scalesearch.arch.topology import Node, Topology

# Pinned: rows are found again by these. A change here orphans every result that anyone has.
IDS = {
    "d0": "942109d4f445",
    "d1": "ebdd47230c01",
    "d2": "67ce74b7de7b",
    "d3": "fad8ed454d12",
    "d4": "5e4f5ac52a21",
    "d5": "9bc00b2c0465",
    "d6": "8e332ed9c39a",
    "d7": "74dd0c431ec9",
    "d7x": "fc3fbf4d98c6",
    "lite0": "3e6164d2addf",
    "lite1": "04b63c550a67",
    "lite2": "e8308168eec4",
    "lite3": "c44598554e0d",
    "lite3x": "d62d34de60eb",
    "lite4": "a9ab21adf931",
}


def test_ids_of_the_published_detectors_are_pinned() -> None:
    assert {name: named(name).id for name in PUBLISHED} == IDS


def odd() -> DetectorSpec:
    """A spec with no field at its default."""
    return DetectorSpec(
        size=(96, 160),
        classes=3,
        backbone=TimmBackbone(name="resnet18"),
        topology=Topology(3, 4, (Node(4, (1, 0), "softmax"), Node(3, (0, 2), "sum"))),
        repeats=2,
        width=24,
        head_width=16,
        head_depth=1,
        padding="symmetric",
        backbone_padding="same",
        activation="relu",
        norm_eps=1e-5,
        backbone_norm_eps=1e-5,
        norm_momentum=0.1,
        bias_before_norm=False,
        laterals="level",
        lateral_at_equal_width=True,
        extra_levels="pool",
        down="avg",
        up="bilinear",
        separable=False,
        order="conv_norm_act",
        anchors=Anchors(scale=2, octaves=2, aspects=((1, 1), (1.4, 0.7))),
        normalisation="half",
    )


@pytest.mark.parametrize("spec", [named("d0"), named("d7"), odd()])
def test_json_round_trip_keeps_spec_and_id(spec: DetectorSpec) -> None:
    again = from_dict(json.loads(json.dumps(to_dict(spec))))
    assert again == spec
    assert (again.id, hash(again)) == (spec.id, hash(spec))


def test_every_field_that_is_not_at_its_default_changes_the_id() -> None:
    base = named("d0")
    for item in dataclasses.fields(DetectorSpec):
        changed = {item.name: getattr(odd(), item.name)}
        if item.name == "extra_levels":
            changed["laterals"] = "level"
        assert dataclasses.replace(base, **changed).id != base.id, item.name


def test_isomorphic_topologies_share_an_id_and_measurements_are_no_part_of_it() -> None:
    nodes = (Node(4, (1, 0)), Node(3, (2, 0)), Node(4, (1, 2)))
    turned = (Node(4, (0, 1)), Node(3, (0, 2)), Node(4, (2, 1)))
    specs = [dataclasses.replace(named("d0"), topology=Topology(3, 4, n)) for n in (nodes, turned)]
    assert specs[0].id == specs[1].id
    bare = TimmBackbone(name="resnet18")
    measured = TimmBackbone(name="resnet18", measured=Measured({5: 512}, 1, {}, {}, "1.0"))
    assert dataclasses.replace(named("d0"), backbone=bare) == dataclasses.replace(named("d0"), backbone=measured)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": (16, 64)}, r"size must have 32 <= height, width"),
        ({"size": 512}, r"size must be \(height, width\) in whole pixels, but got 512"),
        ({"size": (64.5, 64)}, r"size must be \(height, width\) in whole pixels, but got \(64.5, 64\)"),
        ({"size": (64, 64, 3)}, r"size must be \(height, width\) in whole pixels, but got \(64, 64, 3\)"),
        ({"backbone": "resnet50"}, r"backbone must be an EfficientNet or a TimmBackbone; .* but got 'resnet50'"),
        ({"topology": "bifpn"}, r"topology must be a Topology; .* but got 'bifpn'"),
        ({"anchors": {"scale": 3}}, r"anchors must be an Anchors, but got {'scale': 3}"),
        ({"separable": "no"}, r"separable must be True or False, but got 'no'"),
        ({"norm_eps": "1e-3"}, r"norm_eps must be in \(0, 1\), but got '1e-3'"),
        ({"width": 0}, r"width must be an integer with 1 <= width <= 8192, but got 0"),
        ({"repeats": 2.5}, r"repeats must be an integer .* but got 2.5"),
        ({"classes": True}, r"classes must be an integer .* but got True"),
        ({"activation": "gelu"}, r"activation must be one of silu, relu, relu6, hard_swish, but got 'gelu'"),
        ({"norm_momentum": 0.0}, r"norm_momentum must be in \(0, 1\), but got 0.0"),
        ({"topology": bifpn(6, 8)}, r"min_level must be at most 5, but got 6"),
        ({"extra_levels": "pool"}, r"needs laterals: level, but got laterals: edge"),
    ],
)
def test_a_bad_field_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(named("d0"), **changes)  # type: ignore[arg-type]


def test_unknown_and_missing_fields_are_named() -> None:
    with pytest.raises(ValueError, match="but got 'colour'"):
        from_dict({**to_dict(named("d0")), "colour": 1})
    with pytest.raises(ValueError, match="a detector needs the field 'width'"):
        from_dict({k: v for k, v in to_dict(named("d0")).items() if k != "width"})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"topology": {"levels": [3, 7]}}, r"a topology is {levels: .*}, but got {'levels': \[3, 7\]}"),
        ({"topology": None}, r"a topology is {levels: .*}, but got None"),
        ({"topology": {"levels": [3, 4], "nodes": [[3, 0, "fast"]]}}, r"a topology is {levels: "),
        ({"anchors": {"ratio": 1}}, r"anchors have scale, octaves, aspects, but got {'ratio': 1}"),
        ({"anchors": 4}, r"anchors have scale, octaves, aspects, but got 4"),
        ({"backbone": {"efficientnet": {"width": "a"}}}, r"an EfficientNet's width must be in \(0, 16\], but got 'a'"),
        ({"backbone": {"efficientnet": {"lite": "no"}}}, r"an EfficientNet's lite must be True or False, but got 'no'"),
        ({"backbone": []}, r"a backbone is {timm: NAME} or .*, but got \[\]"),
        ({"backbone": None}, r"a backbone is {timm: NAME} or .*, but got None"),
        ({"size": 64}, r"size must be \(height, width\) in whole pixels, but got 64"),
    ],
)
def test_bad_data_is_refused_by_name(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict({**to_dict(named("d0")), **changes})


def test_bad_anchors_are_refused() -> None:
    worse = ({"scale": "x"}, {"scale": math.inf}, {"octaves": 2.5}, {"aspects": (1, 2)}, {"aspects": ((1, math.inf),)})
    for bad in ({"scale": 0}, {"octaves": 0}, {"aspects": ()}, {"aspects": ((1, -1),)}, *worse):
        with pytest.raises(ValueError, match="anchor"):
            Anchors(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(("size", "maps"), [((320, 511), [(40, 64), (20, 32), (10, 16), (5, 8), (3, 4)])])
def test_maps_are_halved_and_rounded_up(size: tuple[int, int], maps: list[tuple[int, int]]) -> None:
    spec = named("d0", size=size)
    assert [spec.map_size(level) for level in spec.levels] == maps


def test_backbones_by_name() -> None:
    assert parse("efficientnet_b3") == EfficientNet(width=1.2, depth=1.4)
    for backbone in (EfficientNet(width=0.5, depth=0.6), EfficientNet(width=1.1, lite=True)):
        assert parse(backbone.name) == backbone
    assert parse("resnet18") == TimmBackbone(name="resnet18")
    with pytest.raises(ValueError, match="efficientnet-w<width>-d<depth>"):
        parse("efficientnet-wide-d1")


def test_no_coefficient_leaves_a_stage_without_a_block() -> None:
    assert {stage.repeats for stage in EfficientNet(depth=1e-9).stages} == {1}


def test_channels_of_the_efficientnets() -> None:
    # P3, P4, P5 of B0 .. B7 as in zylo117's backbone.py.
    expected = {
        0: (40, 112, 320),
        2: (48, 120, 352),
        3: (48, 136, 384),
        4: (56, 160, 448),
        5: (64, 176, 512),
        6: (72, 200, 576),
        7: (80, 224, 640),
    }
    for phi, channels in expected.items():
        backbone = parse(f"efficientnet_b{phi}")
        assert tuple(backbone.channels(level) for level in (3, 4, 5)) == channels
    blocks = {phi: sum(s.repeats for s in parse(f"efficientnet_b{phi}").stages) for phi in range(8)}  # type: ignore[union-attr]
    assert list(blocks.values()) == [16, 23, 23, 26, 32, 39, 45, 55]
