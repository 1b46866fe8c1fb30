"""Prices against published integers; special cases by hand; what changes and what must not."""

from __future__ import annotations

import dataclasses

import pytest

from scalesearch.arch.backbone import EfficientNet, Measured, TimmBackbone
from scalesearch.arch.networks import bifpn, fpn, panet
from scalesearch.arch.scaling import named, retinanet_nasfpn
from scalesearch.arch.spec import DetectorSpec
from scalesearch.cost.graph import ONE, Graph, Map
from scalesearch.cost.network import neck
from scalesearch.cost.price import breakdown, price
from scalesearch.cost.terms import evaluate_terms, factored, sums

# google/automl efficientdet_arch_test.py asserts the parameters; the multiply-adds of its convolutions alone, in
# billions to four digits, are an independent count of the same graphs. 90 classes, native size, batch 1.
PUBLISHED = {
    "d0": (3_880_067, "2.4923"),
    "d1": (6_625_898, "6.0034"),
    "d2": (8_097_039, "10.8325"),
    "d3": (12_032_296, "24.5688"),
    "d4": (20_723_675, "54.5837"),
    "d5": (33_653_315, "134.1339"),
    "d6": (51_871_782, "224.1215"),
    "d7": (51_871_782, "322.7316"),
    "lite0": (3_243_470, "0.9736"),
    "lite1": (4_248_318, "1.9666"),
    "lite2": (5_252_334, "3.3713"),
    "lite3": (8_350_862, "7.4802"),
    "lite4": (15_130_894, "20.1681"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameters_and_multiply_adds(name: str) -> None:
    params, macs = PUBLISHED[name]
    cost = price(named(name))
    assert cost.params == params
    assert f"{cost.macs / 1e9:.4f}" == macs


@pytest.mark.parametrize(("name", "millions"), [("d7x", "77.1"), ("lite3x", "9.3")])
def test_parameters_that_are_published_rounded(name: str, millions: str) -> None:
    assert f"{price(named(name)).params / 1e6:.1f}" == millions


def test_d7x_by_its_parts() -> None:
    cost = breakdown(named("d7x"))
    heads = cost.class_head.plus(cost.box_head)
    assert [f"{part.params / 1e6:.3f}" for part in (cost.backbone, cost.neck, heads)] == ["62.143", "13.112", "1.892"]
    assert f"{cost.total.macs / 1e9:.4f}" == "407.6283"


def test_nas_fpns_own_detector_without_its_backbone() -> None:
    # 60.3 M parameters and 140.6 B multiply-adds are published (tensorflow/tpu MODEL_ZOO), which count batch norm and
    # more; ResNet-50 has 23.508 M and 33.364 B of them at 640 (timm, measured). The rest is arithmetic.
    measured = Measured({3: 512, 4: 1024, 5: 2048}, 23_508_032, {(640, 640): 33_364_377_600}, {(640, 640): 0}, "")
    spec = dataclasses.replace(retinanet_nasfpn(), backbone=TimmBackbone(name="resnet50", measured=measured))
    cost = price(spec)
    assert (cost.params, cost.macs) == (60_057_998, 140_084_979_200)
    assert cost.params == pytest.approx(60.3e6, rel=0.005)
    assert cost.macs == pytest.approx(140.6e9, rel=0.005)


@pytest.mark.parametrize(
    ("classes", "params", "macs"), [(80, 3_874_217, "2.4609"), (20, 3_839_117, "2.2723"), (1, 3_828_002, "2.2126")]
)
def test_classes_change_d0_as_published(classes: int, params: int, macs: str) -> None:
    cost = price(named("d0", classes=classes))
    assert cost.params == params
    assert f"{cost.macs / 1e9:.4f}" == macs


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("d0", ("1.901", "0.136", "0.455")),
        ("d3", ("14.888", "3.756", "5.924")),
        ("d7", ("154.486", "77.850", "90.395")),
    ],
)
def test_parts_have_the_published_shares(name: str, parts: tuple[str, str, str]) -> None:
    cost = breakdown(named(name))
    assert cost.total == price(named(name))
    heads = cost.class_head.macs + cost.box_head.macs
    assert tuple(f"{macs / 1e9:.3f}" for macs in (cost.backbone.macs, cost.neck.macs, heads)) == parts


def test_redundant_biases_cost_what_the_port_without_them_saves() -> None:
    plain = [price(dataclasses.replace(named(name), bias_before_norm=False)).params for name in ("d0", "d1")]
    assert plain == [3_877_763, 6_622_026]


def test_a_convolution_by_hand() -> None:
    graph = Graph(part="neck")
    x = graph.start((4,), 3)
    x = graph.conv(x, Map((4,), 8), kernel=3, bias=True, norm=True)
    x = graph.conv(x, Map((5,), 8), kernel=5, stride=2, depthwise=True)
    graph.add("product", (x,), Map((5,), 1, "width"), shared=True)
    found = [evaluate_terms(factored(terms), {ONE: 1, 4: 10, 5: 4}, {"width": 6}) for terms in sums(graph)]
    # Weights, bias, scale and shift; weights; nothing, they were counted before.
    assert found[0] == (216 + 8 + 16) + 200
    assert found[1] == 216 * 10 + 200 * 4 + 8 * 6 * 4
    assert found[2] == 80 + 32 + 24
    assert found[3] == 8


def small(**changes: object) -> DetectorSpec:
    """A detector of two levels whose price can be written down."""
    spec = DetectorSpec(
        size=(64, 96),
        classes=2,
        backbone=TimmBackbone(
            name="toy", measured=Measured({4: 16, 5: 24}, 1000, {(64, 96): 5000}, {(64, 96): 70}, "")
        ),
        topology=fpn(4, 5, "sum"),
        repeats=1,
        width=8,
        head_width=8,
        head_depth=0,
        bias_before_norm=False,
    )
    return dataclasses.replace(spec, **changes)  # type: ignore[arg-type]


def test_a_small_detector_by_hand() -> None:
    cost = breakdown(small())
    # 64x96 has maps of 4x6 and 2x3. fpn: 2:5[1] 3:4[0,2], a lateral for each backbone map.
    lateral = (16 * 8 + 2 * 8) + (24 * 8 + 2 * 8)
    node = 9 * 8 + 8 * 8 + 2 * 8
    assert cost.neck.params == lateral + 2 * node
    assert cost.neck.macs == 16 * 8 * 24 + 24 * 8 * 6 + (72 + 64) * (24 + 6)
    assert cost.neck.activations == 8 * 24 + 8 * 6 + 16 * (24 + 6)
    # No convolution before the predicting one, which has a bias: 9 anchors x 2 classes.
    assert cost.class_head == (72 + 8 * 18 + 18, (72 + 8 * 18) * 30, (8 + 18) * 30)
    assert cost.box_head == (72 + 8 * 36 + 36, (72 + 8 * 36) * 30, (8 + 36) * 30)
    assert cost.backbone == (1000, 5000, 70)
    assert cost.total.params == sum(part.params for part in (cost.backbone, cost.neck, cost.class_head, cost.box_head))
    assert cost.total == price(small())


def test_a_lateral_is_dropped_at_equal_width_unless_asked_for() -> None:
    dropped, kept = small(width=16, head_width=16), small(width=16, head_width=16, lateral_at_equal_width=True)
    difference = [b - a for a, b in zip(price(dropped), price(kept), strict=True)]
    assert difference == [16 * 16 + 2 * 16, 16 * 16 * 24, 16 * 24]


def test_laterals_one_a_level_or_one_an_edge() -> None:
    # bifpn reads P4 and P5 of levels 3..7 twice each, P3 once, and makes P6 from P5.
    by_edge, by_level = named("d0"), dataclasses.replace(named("d0"), laterals="level")
    saved = price(by_edge).params - price(by_level).params
    assert saved == (112 * 64 + 64 + 128) + (320 * 64 + 64 + 128)


def test_sum_costs_less_than_fast_by_one_parameter_an_edge() -> None:
    for build, edges in ((fpn, 9), (panet, 18), (bifpn, 19)):
        specs = [dataclasses.replace(named("d0"), topology=build(fusion=f)) for f in ("sum", "fast", "channel_fast")]
        plain, fast, channel = (price(spec) for spec in specs)
        assert (fast.params - plain.params, channel.params - plain.params) == (3 * edges, 3 * edges * 64)
        assert fast[1:] == plain[1:] == channel[1:]


def test_a_detector_of_coarse_levels_only_needs_the_backbone_up_to_them() -> None:
    shallow = dataclasses.replace(named("d0"), topology=bifpn(2, 4))
    assert breakdown(shallow).backbone.params < breakdown(named("d0")).backbone.params / 3


def test_doubling_the_size_quadruples_what_is_not_squeezed() -> None:
    # 128 divides both sizes, so each map quadruples; squeeze-and-excitation works on a pooled vector.
    small, large = (breakdown(named("d0", size=(side, side))) for side in (256, 512))
    assert large.neck.macs == 4 * small.neck.macs
    lite = dataclasses.replace(named("d0", size=(256, 256)), backbone=EfficientNet(lite=True))
    assert breakdown(dataclasses.replace(lite, size=(512, 512))).backbone.macs == 4 * breakdown(lite).backbone.macs


def test_an_unmeasured_backbone_is_refused_with_the_mend() -> None:
    with pytest.raises(ValueError, match="measured at 64x96, not at 64x64; call scalesearch.resolve"):
        price(small(size=(64, 64)))
    with pytest.raises(ValueError, match="has not been measured"):
        price(small(backbone=TimmBackbone(name="resnet18")))


@pytest.mark.parametrize("laterals", ["edge", "level"])
def test_nodes_unrolled_once_add_up_to_nodes_in_their_places(laterals: str) -> None:
    structure = dataclasses.replace(named("d0"), topology=panet(2, 6, "channel_fast"), laterals=laterals).neck
    graph = neck(structure, 3)
    flat = graph.flat()
    assert len(flat.steps) > len(graph.steps) and not any(step.op.inner for step in flat.steps)
    assert sums(flat) == sums(graph)
