"""What a detector costs, by arithmetic: parameters, multiply-adds and activations of a spec.

Conventions, stated once:
- macs: 1 multiply-add = 1. Convolutions count (a squeeze-and-excitation's too); bias, batch norm,
  activation, pooling, resizing and fusion do not. Papers on detectors call this FLOPs.
- params: trainable ones (batch norm's scale and shift, not its running statistics).
- activations: output elements of convolutions (Designing Network Design Spaces, sec. 3.1).
Batch 1. Every formula is written in +, *, // and comparisons, so that it holds for NumPy arrays of
widths, depths and sizes as it does for integers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from scalesearch.arch.backbone import SE_RATIO, EfficientNet, TimmBackbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import Topology


class Cost(NamedTuple):
    """Trainable parameters, multiply-adds and convolution outputs, at batch 1."""

    params: int
    macs: int
    activations: int

    def plus(self, other: Cost) -> Cost:
        """The cost of both together."""
        return Cost(self[0] + other[0], self[1] + other[1], self[2] + other[2])

    def times(self, count: int) -> Cost:
        """The cost of `count` such parts, each with parameters of its own."""
        return Cost(self[0] * count, self[1] * count, self[2] * count)


NOTHING = Cost(0, 0, 0)


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """The cost of the four parts of a detector."""

    backbone: Cost
    neck: Cost
    class_head: Cost
    box_head: Cost

    @property
    def total(self) -> Cost:
        """The sum of the parts."""
        return self.backbone.plus(self.neck).plus(self.class_head).plus(self.box_head)

    def to_dict(self) -> dict[str, dict[str, int]]:
        """`{"total": {"params":, "macs":, "activations":}, "backbone": ..., ...}`."""
        parts = {"total": self.total, "backbone": self.backbone, "neck": self.neck}
        parts |= {"class_head": self.class_head, "box_head": self.box_head}
        return {name: dict(cost._asdict()) for name, cost in parts.items()}


def price(spec: DetectorSpec) -> Cost:
    """The cost of a whole detector. ValueError for a timm backbone not measured at this size."""
    return breakdown(spec).total


def breakdown(spec: DetectorSpec) -> Breakdown:
    """The cost of a detector, part by part. ValueError as `price`."""
    areas = {level: _area(spec.map_size(level)) for level in spec.levels}
    total_area = sum(areas.values())
    per_cell = spec.anchors.per_cell
    return Breakdown(
        backbone=_backbone(spec),
        neck=_neck(spec, areas),
        class_head=_head(spec, total_area, per_cell * spec.classes),
        box_head=_head(spec, total_area, per_cell * 4),
    )


def conv(
    c_in: int, c_out: int, kernel: int, area: int, *, depthwise: bool = False, bias: bool = False
) -> Cost:
    """A convolution with `area` = h * w output positions, without its norm."""
    weights = kernel * kernel * c_out if depthwise else kernel * kernel * c_in * c_out
    return Cost(weights + bias * c_out, weights * area, c_out * area)


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _norm(channels: int) -> Cost:
    return Cost(2 * channels, 0, 0)


def _conv3(spec: DetectorSpec, c_in: int, c_out: int, area: int, *, bias: bool) -> Cost:
    """The 3x3 of a node or a head: depthwise (never a bias) then pointwise, or full."""
    if not spec.separable:
        return conv(c_in, c_out, 3, area, bias=bias)
    return conv(c_in, c_in, 3, area, depthwise=True).plus(conv(c_in, c_out, 1, area, bias=bias))


# ---- backbone ----


def _backbone(spec: DetectorSpec) -> Cost:
    match spec.backbone:
        case EfficientNet():
            return _efficientnet(spec.backbone, spec.backbone_levels[-1], spec.size)
        case TimmBackbone(name=name):
            known = spec.backbone.known
            if spec.size not in known.macs:
                sizes = ", ".join(f"{h}x{w}" for h, w in known.macs)
                raise ValueError(
                    f"the backbone {name!r} was measured at {sizes or 'no size'}, not at "
                    f"{spec.size[0]}x{spec.size[1]}; call scalesearch.resolve(spec) first"
                )
            return Cost(known.params, known.macs[spec.size], known.activations[spec.size])


def _efficientnet(backbone: EfficientNet, level: int, size: tuple[int, int]) -> Cost:
    params, weights, outputs = _per_position(backbone, level)
    # Strides 2, 4, ...: sizes are halved and rounded up. The squeezes work on one position.
    areas = [1, *((-(-size[0] >> at)) * (-(-size[1] >> at)) for at in range(1, level + 1))]
    macs = sum(w * area for w, area in zip(weights, areas, strict=True))
    return Cost(params, macs, sum(o * area for o, area in zip(outputs, areas, strict=True)))


@lru_cache(maxsize=4096)
def _per_position(backbone: EfficientNet, level: int) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Parameters, and by level the convolutions' weights and outputs at one position.

    Index 0 holds what runs on a pooled vector (squeeze-and-excitation), where biases come on top.
    """
    weights, outputs, extra = [0] * (level + 1), [0] * (level + 1), 2 * backbone.stem
    weights[1], outputs[1] = 9 * 3 * backbone.stem, backbone.stem
    c_in, at = backbone.stem, 1
    for stage in backbone.cut(level):
        inner, at = at, at + (stage.stride == 2)
        kernel, c_out = stage.kernel * stage.kernel, stage.channels
        # The first block changes stride and channels; the rest are alike.
        for c, inside, count in ((c_in, inner, 1), (c_out, at, stage.repeats - 1)):
            middle = c * stage.expansion
            if stage.expansion != 1:
                weights[inside] += count * c * middle
                outputs[inside] += count * middle
                extra += count * 2 * middle
            weights[at] += count * (kernel * middle + middle * c_out)
            outputs[at] += count * (middle + c_out)
            extra += count * 2 * (middle + c_out)
            if not backbone.lite:
                squeezed = squeeze(c)
                weights[0] += count * 2 * middle * squeezed
                outputs[0] += count * (middle + squeezed)
                extra += count * (middle + squeezed)
        c_in = c_out
    return sum(weights) + extra, tuple(weights), tuple(outputs)


def squeeze(c_in: int) -> int:
    """Channels inside the squeeze-and-excitation of a block with `c_in` input channels."""
    return max(1, int(c_in * SE_RATIO))


# ---- feature network ----


class _Cell(NamedTuple):
    """What of a topology its price depends on."""

    nodes: Mapping[int, int]
    """Nodes by level."""
    reads: Mapping[int, int]
    """Edges that read the cell's own input, by the level of that input."""
    scalar_edges: int
    channel_edges: int


@lru_cache(maxsize=4096)
def _cell(topology: Topology) -> _Cell:
    inputs = len(topology.levels)
    reads = Counter(topology.level_of(i) for node in topology.nodes for i in node.inputs if i < inputs)
    edges: Counter[str] = Counter()
    for node in topology.nodes:
        edges[node.fusion] += len(node.inputs)
    return _Cell(
        nodes=Counter(node.level for node in topology.nodes),
        reads=reads,
        scalar_edges=edges["softmax"] + edges["fast"],
        channel_edges=edges["channel_softmax"] + edges["channel_fast"],
    )


def _neck(spec: DetectorSpec, areas: Mapping[int, int]) -> Cost:
    cell, width = _cell(spec.topology), spec.width
    node_area = sum(count * areas[level] for level, count in cell.nodes.items())
    nodes = _conv3(spec, width, width, node_area, bias=spec.bias_before_norm)
    # macs and activations above are of all nodes, parameters of one: each node has its own.
    params = (nodes.params + 2 * width) * sum(cell.nodes.values())
    params += cell.scalar_edges + cell.channel_edges * width
    cells = Cost(params, nodes.macs, nodes.activations).times(spec.repeats)
    return cells.plus(_projections(spec, cell, areas))


def _projections(spec: DetectorSpec, cell: _Cell, areas: Mapping[int, int]) -> Cost:
    """The 1x1 convolutions between the backbone's maps and the first cell."""
    cost = NOTHING
    for level, count in projections(spec).items():
        one = conv(spec.backbone.channels(level), spec.width, 1, areas[level], bias=spec.bias_before_norm)
        cost = cost.plus(one.plus(_norm(spec.width)).times(count))
    return cost


def projections(spec: DetectorSpec) -> dict[int, int]:
    """How many 1x1 convolutions read the backbone's map of each level (EfficientDet: 1, 2, 2 + 1)."""
    cell, coarsest = _cell(spec.topology), spec.backbone_levels[-1]
    extra = spec.topology.max_level > coarsest
    counts: dict[int, int] = {}
    for level in spec.backbone_levels:
        reads = cell.reads.get(level, 0)
        count = reads if spec.laterals == "edge" else min(1, reads)
        if extra and level == coarsest:
            count = count + 1 if spec.extra_levels == "conv_pool" else max(count, 1)
        needed = spec.lateral_at_equal_width or spec.backbone.channels(level) != spec.width
        counts[level] = count * needed
    return counts


# ---- heads ----


def _head(spec: DetectorSpec, area: int, outputs: int) -> Cost:
    """One head over maps of `area` positions in all: weights shared, a batch norm for each level."""
    cost, c_in = NOTHING, spec.width
    for _ in range(min(spec.head_depth, 2)):
        # The first convolution changes the width; all later ones are equal.
        count = 1 if cost is NOTHING else spec.head_depth - 1
        one = _conv3(spec, c_in, spec.head_width, area, bias=spec.bias_before_norm)
        cost = cost.plus(one.plus(_norm(spec.head_width).times(len(spec.levels))).times(count))
        c_in = spec.head_width
    return cost.plus(_conv3(spec, c_in, outputs, area, bias=True))
