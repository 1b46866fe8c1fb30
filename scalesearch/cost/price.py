"""The price of a detector, by arithmetic: parameters, multiply-adds and activations of a spec, at batch 1.

The conventions are in `terms.py`. Every metric is a sum over the graphs of `network.py` and `backbones.py`, evaluated
for integers or for NumPy arrays of widths, depths and sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scalesearch.arch.backbone import Backbone
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.structure import HeadStructure, NeckStructure
from scalesearch.arch.topology import Topology
from scalesearch.cost import backbones, network
from scalesearch.cost.dimensions import Dimensions, dimensions_of, grid
from scalesearch.cost.graph import ONE
from scalesearch.cost.terms import Sums, evaluate_terms, factored, sums


class Cost(NamedTuple):
    """Trainable parameters, multiply-adds and convolution outputs, at batch 1."""

    params: int
    macs: int
    activations: int

    def plus(self, other: Cost) -> Cost:
        """Return the sum of both costs."""
        return Cost(self[0] + other[0], self[1] + other[1], self[2] + other[2])


class CostGrid(NamedTuple):
    """The metrics of `Cost` over a grid, int64 arrays of one shape."""

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
        """Return `{"total": {"params":, "macs":, "activations":}, "backbone": ..., ...}`."""
        parts = {"total": self.total, "backbone": self.backbone, "neck": self.neck}
        parts |= {"class_head": self.class_head, "box_head": self.box_head}
        return {name: dict(cost._asdict()) for name, cost in parts.items()}


def price(spec: DetectorSpec) -> Cost:
    """Return the cost of a whole detector. ValueError for a timm backbone not measured at this size."""
    return _total(spec, dimensions_of(spec))


def breakdown(spec: DetectorSpec) -> Breakdown:
    """Return the cost of a detector, part by part. ValueError as `price`."""
    dimensions = dimensions_of(spec)
    areas, symbols = areas_of(spec, dimensions[0]), symbols_of(spec, dimensions)
    return Breakdown(
        backbone=Cost(*backbones.cost(spec, dimensions[0], areas)),
        neck=_evaluated(neck_sums(spec.neck), areas, symbols),
        class_head=_evaluated(head_sums(spec.heads, "class"), areas, symbols),
        box_head=_evaluated(head_sums(spec.heads, "box"), areas, symbols),
    )


def _total(spec: DetectorSpec, dimensions: Dimensions) -> Cost:
    """Return the whole cost. The dimensions may be arrays in place of integers; `spec` has everything else.

    The heads are evaluated as one, since they differ in two of their eight products of symbols.
    """
    areas, symbols = areas_of(spec, dimensions[0]), symbols_of(spec, dimensions)
    backbone = backbones.cost(spec, dimensions[0], areas)
    neck = _evaluated(neck_sums(spec.neck), areas, symbols)
    heads = _evaluated(head_sums(spec.heads, "class", "box"), areas, symbols)
    return Cost(backbone[0] + neck[0] + heads[0], backbone[1] + neck[1] + heads[1], backbone[2] + neck[2] + heads[2])


def _evaluated(found: Sums, areas: Mapping[int, Any], symbols: Mapping[str, Any]) -> Cost:
    params, macs, activations, _ = found
    return Cost(
        evaluate_terms(params, areas, symbols),
        evaluate_terms(macs, areas, symbols),
        evaluate_terms(activations, areas, symbols),
    )


# ---- the values of a graph's areas and symbols ----


def areas_of(spec: DetectorSpec, size: tuple[Any, Any]) -> dict[int, Any]:
    """Return the positions of a map of each level."""
    height, width = size
    top = max(spec.topology.max_level, spec.backbone_levels[-1])
    return {ONE: 1} | {level: (-(-height >> level)) * (-(-width >> level)) for level in range(top + 1)}


def symbols_of(spec: DetectorSpec, dimensions: Dimensions) -> dict[str, Any]:
    """Return the values of the symbols of `network.py`."""
    _, width, head, repeats, depth, per_cell = dimensions
    some = depth > 0
    found = {"": 1, "width": width, "head": head, "class": per_cell * spec.classes, "box": per_cell * 4}
    found |= {"repeats": repeats, "some": some, "more": (depth - 1) * some, "last": some * head + (1 - some) * width}
    for level in spec.backbone_levels:
        found[f"raw{level}"] = channels = spec.backbone.channels(level)
        found[f"lateral{level}"] = spec.lateral_at_equal_width | (channels != width)
    return found


# ---- the sums of each part ----


@lru_cache(maxsize=4096)
def neck_sums(structure: NeckStructure) -> Sums:
    """Return the sums of a feature network, as forms."""
    return Sums(*map(factored, sums(network.neck(structure, cells=1, times="repeats"))))


@lru_cache(maxsize=1024)
def head_sums(structure: HeadStructure, *outputs: str) -> Sums:
    """Return the sums of the heads with these outputs, class and box, as forms."""
    graph = network.levels(structure)
    for symbol in outputs:
        network.add_head(graph, structure, graph.outputs, f"{symbol}_head", symbol, None)
    return Sums(*map(factored, sums(graph)))


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
    """Return the cost of `base` with dimensions replaced by arrays that broadcast together.

    It equals `price` of each detector, integer for integer. Lists of topologies and of backbones are the first axes, in
    this order. size: sides of squares, or a tuple (heights, widths). head_width: as width by default. per_cell: anchors
    per position. `memory.peak_grid` takes the same arguments.
    Raises ValueError for anything but integers in a spec's range, for shapes that do not broadcast, and as `price`
    for a size at which a timm backbone was not measured.
    """
    given = {"topology": topology, "backbone": backbone, "size": size, "width": width, "head_width": head_width}
    given |= {"repeats": repeats, "head_depth": head_depth, "per_cell": per_cell}
    return CostGrid(*grid(base, given, _total))
