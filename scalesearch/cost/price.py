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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scalesearch.arch.backbone import SE_RATIO, Backbone, EfficientNet, TimmBackbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import Topology
from scalesearch.cost.dimensions import at_each, dimensions_of, grid


class Cost(NamedTuple):
    """Trainable parameters, multiply-adds and convolution outputs, at batch 1."""

    params: int
    macs: int
    activations: int

    def plus(self, other: Cost) -> Cost:
        """The cost of both together."""
        return Cost(self[0] + other[0], self[1] + other[1], self[2] + other[2])


class CostGrid(NamedTuple):
    """The figures of `Cost` over a grid, int64 arrays of one shape."""

    params: NDArray[np.int64]
    macs: NDArray[np.int64]
    activations: NDArray[np.int64]


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
        a, b, c, d = self.backbone, self.neck, self.class_head, self.box_head
        return Cost(a[0] + b[0] + c[0] + d[0], a[1] + b[1] + c[1] + d[1], a[2] + b[2] + c[2] + d[2])

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
    return _parts(spec, *dimensions_of(spec))


def _parts(
    spec: DetectorSpec, size: tuple[int, int], width: int, head_width: int, repeats: int, head_depth: int, per_cell: int
) -> Breakdown:
    """The formulas. The dimensions may be arrays in place of integers; `spec` says all the rest."""
    areas = {level: (-(-size[0] >> level)) * (-(-size[1] >> level)) for level in spec.levels}
    total_area = sum(areas.values())
    return Breakdown(
        backbone=_backbone(spec, size),
        neck=_neck(spec, areas, width, repeats),
        class_head=_head(spec, total_area, width, head_width, head_depth, per_cell * spec.classes),
        box_head=_head(spec, total_area, width, head_width, head_depth, per_cell * 4),
    )


def conv(c_in: int, c_out: int, kernel: int, area: int, *, depthwise: bool = False, bias: bool = False) -> Cost:
    """A convolution with `area` = h * w output positions, without its norm."""
    weights = kernel * kernel * c_out if depthwise else kernel * kernel * c_in * c_out
    return Cost(weights + bias * c_out, weights * area, c_out * area)


def _conv3(spec: DetectorSpec, c_in: int, c_out: int, area: int, *, bias: bool) -> Cost:
    """The 3x3 of a node or a head: depthwise (never a bias) then pointwise, or full."""
    if not spec.separable:
        return conv(c_in, c_out, 3, area, bias=bias)
    weights = 9 * c_in + c_in * c_out
    return Cost(weights + bias * c_out, weights * area, (c_in + c_out) * area)


# ---- backbone ----


def _backbone(spec: DetectorSpec, size: tuple[int, int]) -> Cost:
    match spec.backbone:
        case EfficientNet():
            return _efficientnet(spec.backbone, spec.backbone_levels[-1], size)
        case TimmBackbone():
            return _measured(spec.backbone, size)


def _measured(backbone: TimmBackbone, size: tuple[int, int]) -> Cost:
    known = backbone.known

    def one(at: tuple[int, int]) -> tuple[int, int]:
        if at not in known.macs:
            sizes = ", ".join(f"{h}x{w}" for h, w in known.macs)
            raise ValueError(
                f"the backbone {backbone.name!r} was measured at {sizes or 'no size'}, not at {at[0]}x{at[1]}; "
                "call scalesearch.resolve(spec) first"
            )
        return known.macs[at], known.activations[at]

    return Cost(known.params, *at_each(one, size, 2))


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
    c_in, at = backbone.stem, 1
    weights, outputs, extra = [0] * (level + 1), [0] * (level + 1), 2 * c_in
    weights[1], outputs[1] = 9 * 3 * c_in, c_in
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


def _neck(spec: DetectorSpec, areas: Mapping[int, int], width: int, repeats: int) -> Cost:
    cell = _cell(spec.topology)
    node_area = sum(count * areas[level] for level, count in cell.nodes.items())
    nodes = _conv3(spec, width, width, node_area, bias=spec.bias_before_norm)
    # macs and activations above are of all nodes, parameters of one: each node has its own.
    params = (nodes.params + 2 * width) * sum(cell.nodes.values())
    params += cell.scalar_edges + cell.channel_edges * width
    own = _projections(spec, areas, width)
    return Cost(params * repeats + own[0], nodes[1] * repeats + own[1], nodes[2] * repeats + own[2])


def _projections(spec: DetectorSpec, areas: Mapping[int, int], width: int) -> Cost:
    """The 1x1 convolutions between the backbone's maps and the first cell."""
    params = macs = outputs = 0
    for level, reads in _reads(spec).items():
        channels, area = spec.backbone.channels(level), areas[level]
        count = reads * (spec.lateral_at_equal_width | (channels != width))
        # A bias, and the norm's scale and shift.
        params += count * (channels * width + spec.bias_before_norm * width + 2 * width)
        macs += count * channels * width * area
        outputs += count * width * area
    return Cost(params, macs, outputs)


def _reads(spec: DetectorSpec) -> dict[int, int]:
    """How many 1x1 convolutions the backbone's map of each level feeds, were none dropped at equal width.

    EfficientDet: 1 for P3, 2 for P4, 2 for P5 and one more from which P6 is made.
    """
    reads, coarsest = _cell(spec.topology).reads, spec.backbone_levels[-1]
    counts = {level: reads.get(level, 0) for level in spec.backbone_levels}
    if spec.laterals == "level":
        counts = {level: min(1, count) for level, count in counts.items()}
    if spec.topology.max_level > coarsest:
        own = spec.extra_levels == "conv_pool"
        counts[coarsest] = counts[coarsest] + 1 if own else max(counts[coarsest], 1)
    return counts


# ---- heads ----


def _head(spec: DetectorSpec, area: int, width: int, head_width: int, depth: int, outputs: int) -> Cost:
    """One head over maps of `area` positions in all: weights shared, a batch norm for each level."""
    some = depth > 0
    # The first convolution changes the width; all later ones are equal.
    more, norms = (depth - 1) * some, depth * 2 * head_width * len(spec.levels)
    first = _conv3(spec, width, head_width, area, bias=spec.bias_before_norm)
    later = _conv3(spec, head_width, head_width, area, bias=spec.bias_before_norm)
    last = _conv3(spec, some * head_width + (1 - some) * width, outputs, area, bias=True)
    return Cost(
        some * first[0] + more * later[0] + last[0] + norms,
        some * first[1] + more * later[1] + last[1],
        some * first[2] + more * later[2] + last[2],
    )


# ---- a grid ----


def price_grid(
    base: DetectorSpec,
    *,
    topology: Topology | Sequence[Topology] | None = None,
    backbone: Backbone | Sequence[Backbone] | None = None,
    size: ArrayLike | tuple[ArrayLike, ArrayLike] | None = None,
    width: ArrayLike | None = None,
    head_width: ArrayLike | None = None,
    repeats: ArrayLike | None = None,
    head_depth: ArrayLike | None = None,
    per_cell: ArrayLike | None = None,
) -> CostGrid:
    """The cost of `base` with dimensions replaced by arrays that broadcast together.

    Equal, integer for integer, to `price` of each. Lists of topologies and of backbones make the first axes, in this
    order. size: sides of squares, or a tuple (heights, widths). head_width follows width where it is not given;
    per_cell is anchors at a position. What these hold is `memory.peak_grid`, of the same arguments.
    Raises ValueError for anything but whole numbers in a spec's range, for shapes that do not broadcast, and as `price`
    for a size at which a timm backbone was not measured.
    """
    given = {"topology": topology, "backbone": backbone, "size": size, "width": width, "head_width": head_width}
    given |= {"repeats": repeats, "head_depth": head_depth, "per_cell": per_cell}
    return CostGrid(*grid(base, given, lambda spec, dimensions: _parts(spec, *dimensions).total))
