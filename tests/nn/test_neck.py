"""The feature network: resampling against TensorFlow's rule, fusions by hand, and the wiring."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalesearch.arch.networks import bifpn, fpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import FUSIONS, Node, Topology
from scalesearch.nn.layers import Activation, Down, Lateral, resample
from scalesearch.nn.neck import FusionLayer, Neck

MAPS = {3: 40, 4: 112, 5: 320}
"""Channels of EfficientNet-B0 by level."""


def _spec(**changes: Any) -> DetectorSpec:
    return dataclasses.replace(named("d0", size=(72, 100)), width=16, head_width=16, repeats=1, **changes)


def _maps(spec: DetectorSpec) -> list[Tensor]:
    torch.manual_seed(0)
    levels = spec.backbone_levels
    return [torch.randn(2, spec.backbone.channels(level), *spec.map_size(level)) for level in levels]


def _laterals(module: nn.Module) -> list[str]:
    return [name for name, part in module.named_modules() if isinstance(part, Lateral)]


# ---- resampling ----


def _tensorflow_max_pool(x: Tensor, stride: int, kernel: int) -> Tensor:
    """max-pool with SAME padding as TensorFlow documents it, by an explicitly padded copy."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.max_pool2d(F.pad(x, pads, value=-math.inf), kernel, stride)


@pytest.mark.parametrize("jump", [1, 2, 3, 6])
def test_max_pooling_is_tensorflows_same_at_every_size(jump: int) -> None:
    stride = 2**jump
    for height, width in [(1, 2), (2, 3), (4, 5), (6, 7), (8, 9), (31, 32), (33, 37), (64, 127)]:
        source, target = (height, width), (-(-height // stride), -(-width // stride))
        x = torch.randn(1, 2, height, width)
        out = Down("max", "same", jump, source, target)(x)
        assert out.shape[2:] == target
        torch.testing.assert_close(out, _tensorflow_max_pool(x, stride, stride + 1), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["max", "max_tight", "avg", "bilinear"])
@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_every_way_down_gives_a_map_rounded_up(kind: str, padding: str) -> None:
    for jump in (1, 2, 4):
        for size in range(1, 40):
            target = -(-size // 2**jump)
            down = Down(kind, padding, jump, (size, 5), (target, -(-5 // 2**jump)))
            assert down(torch.zeros(1, 1, size, 5)).shape == (1, 1, target, -(-5 // 2**jump))


def test_ways_down_by_hand() -> None:
    x = torch.tensor([[[[1.0, 5.0, 2.0, 9.0]]]])

    def row(kind: str, padding: str) -> list[float]:
        return Down(kind, padding, 1, (1, 4), (1, 2))(x)[0, 0, 0].tolist()

    # Kernel 3: SAME sees columns 0-2 and 2-4, symmetric -1-1 and 1-3.
    assert row("max", "same") == [5, 9]
    assert row("max", "symmetric") == [5, 9]
    assert Down("max", "symmetric", 1, (1, 4), (1, 2))(x.flip(3))[0, 0, 0].tolist() == [9, 5]
    assert Down("max", "same", 1, (1, 4), (1, 2))(x.flip(3))[0, 0, 0].tolist() == [9, 5]
    assert row("max_tight", "same") == [5, 9]
    assert row("avg", "same") == [3, 5.5]
    # An odd row's last window has one pixel: its mean is that pixel.
    odd = Down("avg", "same", 1, (1, 3), (1, 2))(x[..., :3])
    assert odd[0, 0, 0].tolist() == [3, 2]


def test_max_pooling_differs_between_the_paddings_where_the_odd_pixel_lies() -> None:
    x = torch.tensor([[[[0.0, 1.0, 2.0, 3.0, 9.0, 0.0]]]])
    assert Down("max", "same", 1, (1, 6), (1, 3))(x)[0, 0, 0].tolist() == [2, 9, 9]
    assert Down("max", "symmetric", 1, (1, 6), (1, 3))(x)[0, 0, 0].tolist() == [1, 3, 9]


def test_nearest_goes_to_the_exact_size() -> None:
    up = resample(_spec(), 5, 4)
    assert up is not None
    out = up(torch.arange(12.0).view(1, 1, 3, 4))
    assert out.shape == (1, 1, 5, 7)
    assert out[0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2, 3]
    assert resample(_spec(), 4, 4) is None


# ---- fusion ----


def _fused(kind: str, maps: list[Tensor], weights: Tensor | None = None) -> Tensor:
    fusion = FusionLayer(kind, len(maps), maps[0].shape[1])
    if weights is not None:
        assert fusion.edge_weights is not None
        fusion.edge_weights.data.copy_(weights.view_as(fusion.edge_weights))
    with torch.no_grad():
        out: Tensor = fusion(maps)
    return out


def test_fusions_by_their_formulas() -> None:
    torch.manual_seed(1)
    maps = [torch.randn(2, 3, 4, 5) for _ in range(3)]
    a, b, c = maps
    scalars = torch.tensor([0.5, -1.0, 2.0])
    soft = scalars.softmax(0)
    torch.testing.assert_close(_fused("sum", maps), a + b + c)
    torch.testing.assert_close(_fused("softmax", maps, scalars), a * soft[0] + b * soft[1] + c * soft[2])
    torch.testing.assert_close(_fused("fast", maps, scalars), (0.5 * a + 2.0 * c) / (2.5 + 1e-4))
    channels = torch.tensor([[0.5, -1.0, 2.0], [1.0, 1.0, 0.0], [0.0, 3.0, 1.0]])
    soft = channels.softmax(0)[:, :, None, None]
    torch.testing.assert_close(_fused("channel_softmax", maps, channels), a * soft[0] + b * soft[1] + c * soft[2])
    share = channels.relu() / (channels.relu().sum(0) + 1e-4)
    share = share[:, :, None, None]
    torch.testing.assert_close(_fused("channel_fast", maps, channels), a * share[0] + b * share[1] + c * share[2])
    largest = a.flatten(2).max(2).values[:, :, None, None]
    torch.testing.assert_close(_fused("gate_max", maps), a + b * largest.sigmoid() + c)
    mean = a.flatten(2).mean(2)[:, :, None, None]
    torch.testing.assert_close(_fused("gate_avg", maps), a + b * mean.sigmoid() + c)


def test_two_equal_inputs_keep_their_value_but_for_epsilon() -> None:
    # The golden of google/automl efficientdet_arch_test: 0.99995 at the start.
    ones = torch.ones(1, 2, 3, 3)
    torch.testing.assert_close(_fused("fast", [ones, ones]), ones * (2 / 2.0001))
    torch.testing.assert_close(_fused("softmax", [ones, ones]), ones)


@pytest.mark.parametrize("kind", FUSIONS)
def test_a_fusion_never_returns_its_input(kind: str) -> None:
    # Whoever comes next may write over the result.
    maps = [torch.ones(1, 2, 3, 3) for _ in range(2 if kind.startswith("gate") else 1)]
    kept = [x.clone() for x in maps]
    _fused(kind, maps).zero_()
    torch.testing.assert_close(maps, kept)


@pytest.mark.parametrize("name", ["silu", "relu", "relu6", "hard_swish"])
def test_an_activation_is_torchs_in_training_and_written_over_its_input_without_gradients(name: str) -> None:
    torch_names = {"silu": F.silu, "relu": F.relu, "relu6": F.relu6, "hard_swish": F.hardswish}
    x = torch.linspace(-8, 8, 33)
    expected = torch_names[name](x)
    leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = Activation(name)(leaf * 1)
    torch.testing.assert_close(out, expected)
    out.sum().backward()
    torch_names[name](other).sum().backward()
    torch.testing.assert_close(leaf.grad, other.grad)
    free = x.clone()
    torch.testing.assert_close(Activation(name)(free), expected)
    torch.testing.assert_close(free, expected)


# ---- wiring ----


def test_efficientdet_has_a_lateral_for_each_edge_that_reads_the_backbone() -> None:
    neck = Neck(_spec())
    assert _laterals(neck) == [
        "extra",
        *(f"cells.0.nodes.{node}.edges.0.lateral" for node in (1, 2, 3, 4, 5)),
    ]
    assert [neck.get_submodule(name).conv.in_channels for name in _laterals(neck)] == [320, 320, 112, 40, 112, 320]


def test_one_lateral_a_level_is_shared_and_feeds_the_pools() -> None:
    spec = _spec(laterals="level", extra_levels="pool")
    assert _laterals(Neck(spec)) == ["laterals.0", "laterals.1", "laterals.2"]


def test_a_lateral_is_dropped_at_equal_width_unless_the_spec_wants_it() -> None:
    equal = dataclasses.replace(_spec(), width=112)
    assert not any(".4." in name or ".2." in name for name in _laterals(Neck(equal)))
    kept = dataclasses.replace(equal, lateral_at_equal_width=True)
    assert len(_laterals(Neck(kept))) == 6


def test_a_repeated_input_is_two_edges_with_two_laterals_and_two_weights() -> None:
    twice = Topology(3, 4, (Node(3, (0, 0, 1)), Node(4, (1, 2))))
    neck = Neck(_spec(topology=twice))
    assert _laterals(neck) == [f"cells.0.nodes.0.edges.{i}.lateral" for i in (0, 1, 2)] + [
        "cells.0.nodes.1.edges.0.lateral"
    ]
    assert neck.cells[0].nodes[0].fusion.edge_weights.shape == (3,)  # type: ignore[union-attr]


def test_the_projection_comes_before_the_pooling() -> None:
    down = Topology(3, 4, (Node(3, (0,)), Node(4, (0,))))
    neck = Neck(_spec(topology=down)).eval()
    seen: list[tuple[int, ...]] = []
    edge = neck.cells[0].nodes[1].edges[0]  # type: ignore[union-attr]
    edge.lateral.register_forward_hook(lambda _, inputs, out: seen.append(tuple(out.shape[2:])))
    neck(_maps(_spec(topology=down)))
    assert seen == [(9, 13)]


@pytest.mark.parametrize("order", ["act_conv_norm", "conv_norm_act"])
def test_a_cell_by_hand(order: str) -> None:
    """The first node of a two-level FPN, computed from its modules' weights."""
    spec = _spec(topology=fpn(3, 4), order=order, padding="same")
    neck = Neck(spec).eval()
    with torch.no_grad():
        for part in neck.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_()  # type: ignore[union-attr]
                part.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
        maps = _maps(spec)
        top, fine = neck.cells[0].nodes  # type: ignore[union-attr]

        def node(module: nn.Module, inputs: list[Tensor]) -> Tensor:
            x = sum(inputs) / (len(inputs) + 1e-4)
            act = F.silu if order == "act_conv_norm" else lambda t: t
            x = F.conv2d(act(x), module.conv.conv_dw.weight, padding=1, groups=16)  # type: ignore
            x = module.bn(F.conv2d(x, module.conv.conv_pw.weight, module.conv.conv_pw.bias))  # type: ignore
            return x if order == "act_conv_norm" else F.silu(x)

        coarse = node(top, [top.edges[0].lateral(maps[1])])
        upsampled = F.interpolate(coarse, size=(9, 13), mode="nearest")
        expected = node(fine, [fine.edges[0].lateral(maps[0]), upsampled])
        out = neck(maps)
    torch.testing.assert_close(out[1], coarse, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out[0], expected, rtol=1e-5, atol=1e-5)


def test_the_output_of_a_level_is_its_last_node() -> None:
    # Level 3 is finished before level 4, so that the last nodes are not in ascending order.
    nodes = (Node(4, (0, 1)), Node(3, (0, 2)), Node(3, (0, 3)), Node(4, (2, 4)))
    spec = _spec(topology=Topology(3, 4, nodes))
    neck = Neck(spec).eval()
    outs: list[Tensor] = []
    for node in neck.cells[0].nodes:  # type: ignore[union-attr]
        node.register_forward_hook(lambda _, inputs, out: outs.append(out))
    with torch.no_grad():
        fine, coarse = neck(_maps(spec))
    assert fine is outs[2] and coarse is outs[3]


@pytest.mark.parametrize("extra", ["conv_pool", "pool"])
def test_levels_above_the_backbone_are_halved_one_after_the_other(extra: str) -> None:
    spec = _spec(topology=bifpn(3, 8), extra_levels=extra, laterals="level", down="max")
    neck = Neck(spec).eval()
    maps = _maps(spec)
    with torch.no_grad():
        projection = neck.extra if extra == "conv_pool" else neck.laterals["2"]
        expected = [projection(maps[-1])]  # type: ignore[misc]
        for _ in range(3):
            expected.append(_tensorflow_max_pool(expected[-1], 2, 3))
        seen: list[list[Tensor]] = []
        neck.cells[0].register_forward_pre_hook(lambda _, inputs: seen.append(list(inputs[0])))
        neck(maps)
    torch.testing.assert_close(seen[0][3:], expected[1:])
