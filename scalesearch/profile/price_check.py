"""A check of prices: random specs over all options of a spec, priced and counted side by side.

`pytest` does twenty of them, `benchmarks/check_price.py` three hundred.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import torch
from torch import nn

from scalesearch.arch.backbone import Backbone, EfficientNet, TimmBackbone
from scalesearch.arch.networks import ONE_SPAN, TOPOLOGIES
from scalesearch.arch.operator import Operator
from scalesearch.arch.spec import CHOICES, Anchors, DetectorSpec
from scalesearch.arch.structure import RESAMPLINGS
from scalesearch.arch.topology import FUSIONS, GATES, Node, Topology, pruned
from scalesearch.cost.operators import operators
from scalesearch.cost.price import Breakdown, breakdown
from scalesearch.nn.detector import build
from scalesearch.nn.layers import Down, Up
from scalesearch.nn.neck import FusionLayer
from scalesearch.profile.flop_counter import count
from scalesearch.profile.resolve import resolve_spec

SPANS = ((3, 7), (3, 7), (2, 5), (3, 5), (3, 6), (2, 7), (3, 8), (4, 7), (5, 8))
TIMM = ("resnet18", "mobilenetv3_small_050", "regnetx_002")


def mismatch(spec: DetectorSpec) -> str:
    """Say where the price of a spec differs from its built module, part by part; "" where it does not."""
    priced, counted = breakdown(spec), count(spec)
    parts = [name for name in Breakdown.__dataclass_fields__ if getattr(priced, name) != counted[name]]
    return "; ".join(f"{name}: priced {getattr(priced, name)}, counted {counted[name]}" for name in parts)


Layer = tuple[Any, ...]
"""A convolution, fusion or resampling: kind, kernel, stride, groups, channels or maps read, channels, (h, w), params."""


def operator_mismatch(spec: DetectorSpec) -> str:
    """Say where the unrolled operators differ from the layers that the built module runs; "" where they do not.

    A timm backbone is left out, since its operators are recorded from its module.
    """
    parts = ["neck", "class_head", "box_head"] + ["backbone"] * (not isinstance(spec.backbone, TimmBackbone))
    unrolled = [layer for one in operators(spec) if one.part in parts and (layer := _unrolled(one))]
    ran = _ran(spec, parts)
    for number, (mine, theirs) in enumerate(zip_longest(unrolled, ran)):
        if mine != theirs:
            return f"layer {number} of {len(ran)}: unrolled {mine}, built {theirs}"
    return ""


def _unrolled(one: Operator) -> Layer | None:
    if one.name in ("conv", "product"):
        return "conv", one.kernel, one.stride, one.groups, one.c_in, one.c_out, one.target, one.params
    if one.name.startswith("fuse_"):
        return "fusion", one.inputs, one.c_out, one.target, one.params
    return ("resampling", one.kernel, one.stride, one.target) if one.name in RESAMPLINGS else None


def _ran(spec: DetectorSpec, parts: Sequence[str]) -> list[Layer]:
    """Return the layers of these parts in the order in which they run, on the meta device."""
    layers: list[Layer] = []
    seen: set[nn.Module] = set()

    def note(module: nn.Module, inputs: Any, out: Any) -> None:
        own = 0 if module in seen else sum(p.numel() for p in module.parameters(recurse=False))
        if isinstance(module, nn.BatchNorm2d):
            layers[-1] = (*layers[-1][:-1], layers[-1][-1] + own)
        elif isinstance(module, nn.Conv2d):
            shape = module.kernel_size, module.stride[0], module.groups, module.in_channels, module.out_channels
            layers.append(("conv", *shape, tuple(out.shape[2:]), own))
        elif isinstance(module, FusionLayer):
            layers.append(("fusion", len(inputs[0]), out.shape[1], tuple(out.shape[2:]), own))
        elif isinstance(module, Down):
            layers.append(("resampling", (module.kernel,) * 2, module.stride, tuple(out.shape[2:])))
        elif isinstance(module, Up):
            layers.append(("resampling", (1, 1), 1, tuple(out.shape[2:])))
        seen.add(module)

    with torch.device("meta"):
        detector, images = build(spec).eval(), torch.empty(1, 3, *spec.size)
    for part in parts:
        for module in detector.get_submodule(part).modules():
            module.register_forward_hook(note)
    with torch.no_grad():
        detector(images)
    return layers


def random_spec(seed: int, cache: Path | None = None) -> DetectorSpec:
    """Draw a spec from `seed` alone: any size, span of levels, graph, fusion and option.

    One in four has a timm backbone, measured into `cache` (None: the default folder).
    """
    draw = random.Random(seed)
    topology = random_topology(draw, *draw.choice(SPANS))
    backbone = _random_backbone(draw)
    words: dict[str, Any] = {name: draw.choice(choices) for name, choices in CHOICES.items()}
    if words["extra_levels"] == "pool":
        words["laterals"] = "level"
    bare = DetectorSpec(
        size=(draw.randint(64, 400), draw.randint(64, 400)),
        classes=draw.randint(1, 100),
        backbone=backbone,
        topology=topology,
        repeats=draw.randint(1, 4),
        width=8 * draw.randint(1, 20),
        head_width=8 * draw.randint(1, 20),
        head_depth=draw.randint(0, 4),
        bias_before_norm=draw.random() < 0.5,
        lateral_at_equal_width=draw.random() < 0.5,
        separable=draw.random() < 0.7,
        anchors=Anchors(octaves=draw.randint(1, 3)),
        **words,
    )
    spec = resolve_spec(bare, cache)
    if draw.random() < 0.4:
        # At equal width the lateral may be absent.
        return dataclasses.replace(spec, width=spec.backbone.channels(draw.choice(spec.backbone_levels)))
    return spec


def random_topology(draw: random.Random, low: int, high: int) -> Topology:
    """Draw a published network or an arbitrary graph over levels low..high, with any fusion at each node."""
    kind = draw.choice([*(name for name in TOPOLOGIES if ONE_SPAN.get(name, (low, high)) == (low, high)), "any", "any"])
    if kind != "any":
        named = TOPOLOGIES[kind](low, high, draw.choice(FUSIONS[:5]))
        if draw.random() < 0.5:
            return named
        return Topology(low, high, tuple(Node(n.level, n.inputs, _fusion(draw, n)) for n in named.nodes))
    levels = [*range(low, high + 1)]
    order = [draw.choice(levels) for _ in range(draw.randint(0, 6))] + draw.sample(levels, len(levels))
    nodes: list[Node] = []
    for number, level in enumerate(order, len(levels)):
        inputs = tuple(draw.randrange(number) for _ in range(draw.randint(1, 4)))
        nodes.append(Node(level, inputs, "sum"))
    topology, _ = pruned(low, high, [Node(n.level, n.inputs, _fusion(draw, n)) for n in nodes])
    return topology


def _fusion(draw: random.Random, node: Node) -> str:
    return draw.choice([f for f in FUSIONS if f not in GATES or len(node.inputs) > 1])


def _random_backbone(draw: random.Random) -> Backbone:
    if draw.random() < 0.25:
        return TimmBackbone(name=draw.choice(TIMM))
    width, depth = draw.uniform(0.25, 2.0), draw.uniform(0.25, 3.0)
    return EfficientNet(width=round(width, 2), depth=round(depth, 2), lite=draw.random() < 0.3)
