"""The feature network: a topology, repeated, over the maps of a backbone. May import arch and torch.

`arch.structure` says which layers there are; `cost.network` unrolls the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import FUSION, Node
from scalesearch.nn.layers import Activation, Conv3, Lateral, norm, resample
from scalesearch.nn.recompute import call

EPS = 1e-4
"""Epsilon of the fast fusion's normalisation (EfficientDet sec. 3.3)."""


class Edge(nn.Module):
    """A node's input: a 1x1 projection where it reads a raw backbone map, then resampling."""

    def __init__(self, spec: DetectorSpec, source: int, target: int, *, project: bool) -> None:
        super().__init__()
        self.lateral = Lateral(spec.backbone.channels(source), spec) if project else None
        # The 1x1 comes before down-pooling, at the finer size (google/automl ResampleFeatureMap).
        self.resample = resample(spec, source, target)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, h, w] at the source level -> [B, width, h', w'] at the target level."""
        if self.lateral is not None:
            x = self.lateral(x)
        return x if self.resample is None else self.resample(x)


class FusionLayer(nn.Module):
    """Fusion of n maps of one shape by one of `topology.FUSION`; [n] or [n, width] weights, initially 1."""

    def __init__(self, kind: str, edges: int, width: int) -> None:
        super().__init__()
        self.kind, self.gate = kind, FUSION[kind].gate
        self.edge_weights: nn.Parameter | None = None
        match FUSION[kind].weights:
            case "edge":
                self.edge_weights = nn.Parameter(torch.ones(edges))
            case "channel":
                self.edge_weights = nn.Parameter(torch.ones(edges, width, 1, 1))

    def shares(self) -> Tensor:
        """Return the normalised weights, [n] or [n, width, 1, 1]."""
        assert self.edge_weights is not None
        if self.kind.endswith("softmax"):
            return torch.softmax(self.edge_weights, 0)
        positive = torch.relu(self.edge_weights)
        return positive / (positive.sum(0) + EPS)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """n x [B, width, h, w] -> [B, width, h, w], never the same tensor as an input."""
        if self.gate:
            return _gate(maps, self.gate)
        if self.edge_weights is None:
            out = maps[0] + maps[1] if len(maps) > 1 else maps[0].clone()
            for x in maps[2:]:
                out = out + x
            return out
        shares = self.shares().to(maps[0].dtype).unbind(0)
        out = maps[0] * shares[0]
        for x, share in zip(maps[1:], shares[1:], strict=True):
            out = torch.addcmul(out, x, share)
        return out


def _gate(maps: list[Tensor], pooling: str) -> Tensor:
    """Apply NAS-FPN's global pooling: first + second * sigmoid(global max or average of the first)."""
    first, second, *rest = maps
    pooled = first.amax((2, 3), keepdim=True) if pooling == "amax" else first.mean((2, 3), keepdim=True)
    out = torch.addcmul(first, second, pooled.sigmoid())
    for x in rest:
        out = out + x
    return out


class FusionNode(nn.Module):
    """A node: resample the inputs, fuse them, then act, conv, norm or conv, norm, act."""

    def __init__(self, spec: DetectorSpec, node: Node, *, first: bool) -> None:
        super().__init__()
        self.inputs = node.inputs
        self.edges = nn.ModuleList()
        for number in node.inputs:
            level = spec.topology.level_of(number)
            project = spec.neck.edge_lateral(number, first=first) and spec.has_lateral(level)
            self.edges.append(Edge(spec, level, node.level, project=project))
        self.fusion = FusionLayer(node.fusion, len(node.inputs), spec.width)
        self.act_first = spec.order == "act_conv_norm"
        self.act = Activation(spec.activation)
        self.conv = Conv3(spec.width, spec.width, separable=spec.separable, bias=spec.bias_before_norm)
        self.bn = norm(spec.width, spec)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """All maps of the cell so far -> [B, width, h, w] of this node."""
        x = self.fusion([edge(maps[i]) for i, edge in zip(self.inputs, self.edges, strict=True)])
        if self.act_first:
            out: Tensor = self.bn(self.conv(self.act(x)))
            return out
        return self.act(self.bn(self.conv(x)))  # type: ignore[no-any-return]


class Cell(nn.Module):
    """One topology: maps of all levels -> maps of all levels."""

    def __init__(self, spec: DetectorSpec, *, first: bool) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(FusionNode(spec, node, first=first) for node in spec.topology.nodes)
        self.outputs = spec.topology.outputs

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """Finest first, a map for each level -> the same levels, [B, width, h, w] each."""
        maps = list(maps)
        for node in self.nodes:
            maps.append(node(maps))
        return [maps[i] for i in self.outputs]


class Neck(nn.Module):
    """Laterals, the levels above the backbone's, and `repeats` cells."""

    recompute = False

    def __init__(self, spec: DetectorSpec) -> None:
        super().__init__()
        structure, coarsest = spec.neck, spec.backbone_levels[-1]
        self.pooled = structure.pooled
        self.laterals = nn.ModuleDict()
        for i in structure.level_laterals:
            if spec.has_lateral(level := spec.backbone_levels[i]):
                self.laterals[str(i)] = Lateral(spec.backbone.channels(level), spec)
        self.extra: Lateral | None = None
        if structure.extra_lateral and spec.has_lateral(coarsest):
            self.extra = Lateral(spec.backbone.channels(coarsest), spec)
        self.downs = nn.ModuleList(resample(spec, level - 1, level) or nn.Identity() for level in structure.extra)
        self.cells = nn.ModuleList(Cell(spec, first=i == 0) for i in range(spec.repeats))

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """The backbone's maps, finest first -> [B, width, h, w] for each level of the spec."""
        raw = maps[-1]
        maps = [self.laterals[str(i)](x) if str(i) in self.laterals else x for i, x in enumerate(maps)]
        x = maps[-1] if self.pooled else raw
        if self.extra is not None:
            x = self.extra(x)
        for down in self.downs:
            x = down(x)
            maps.append(x)
        for cell in self.cells:
            maps = call(cell, maps, inside=cell, recompute=self.recompute)
        return maps
