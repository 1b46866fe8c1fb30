"""Features of candidates for a model of AP: everything that is known of a candidate without training.

A candidate has its point, its exact costs, the costs of its detector's parts, and the shape of its graph. Columns that
describe one thing form a group, which a kernel gives one length scale.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalesearch.arch.depth import output_distances
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import LEVELS, Topology
from scalesearch.cost.price import breakdown
from scalesearch.space.candidates import Candidate, Unit
from scalesearch.space.space import Choices, Point

_LEAST = 1e-9
"""A value below every metric; keeps logarithms finite."""


class FeatureTable(NamedTuple):
    """Features of N candidates; the columns of a group have a variance of 1 together."""

    values: NDArray[np.float64]
    """[N, D]."""
    groups: NDArray[np.int64]
    """Group of each column [D], from 0."""

    def of(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the features of some candidates."""
        return self.values[rows]


def features(unit: Unit, candidates: Sequence[Candidate]) -> FeatureTable:
    """Return the features of the candidates, scaled over these; groups without any spread are left out."""
    columns = [_point_columns(unit, [candidate.point for candidate in candidates])]
    columns += [_cost_columns(candidates)]
    if isinstance(candidates[0].members[0], DetectorSpec):
        columns.append(_detector_columns(candidates))
    return _scaled([group for groups in columns for group in groups])


_Columns = NDArray[np.float64]
"""The columns of one group [N, K]."""


def _scaled(groups: Sequence[_Columns]) -> FeatureTable:
    kept = []
    for group in groups:
        spread = math.sqrt(group.var(axis=0).sum())
        if spread > 1e-9:
            kept.append((group - group.mean(axis=0))[:, group.std(axis=0) > 1e-9] / spread)
    if not kept:  # equal in everything that is known
        return FeatureTable(np.zeros((len(groups[0]), 1)), np.zeros(1, dtype=np.int64))
    numbers = np.repeat(np.arange(len(kept)), [group.shape[1] for group in kept])
    # Rounded: sums over columns differ between processors in the last bits.
    return FeatureTable(np.hstack(kept).round(9), numbers)


# ---- the point ----


def _point_columns(unit: Unit, points: Sequence[Point]) -> list[_Columns]:
    """Return a group for each axis: numbers by rank, names as one column each.

    Genes are left out: two near vectors of genes are often different graphs. Where several axes have the same names, as
    the operations on the edges of a cell have, there is also a group of how often each name occurs.
    """
    genes = unit.genes.axes if unit.genes else {}
    axes = {name: axis for name, axis in unit.axes.items() if name not in genes}
    groups = [_axis(axis, [point[name] for point in points]) for name, axis in axes.items()]
    alike: dict[tuple[object, ...], list[_Columns]] = defaultdict(list)
    for axis, group in zip(axes.values(), groups, strict=True):
        if axis.named:
            alike[tuple(sorted(map(str, axis.values)))].append(group)
    return groups + [np.sum(same, axis=0) for same in alike.values() if len(same) > 1]


def _axis(axis: Choices, values: Sequence[object]) -> _Columns:
    if axis.named:
        names = sorted(map(str, axis.values))
        return np.array([[float(value == name) for name in names] for value in values])
    ranks: Mapping[object, int] = axis.ranks  # type: ignore[assignment]  # a mapping is invariant in its key
    return np.array([[float(ranks[value])] for value in values])


# ---- the costs ----


def _cost_columns(candidates: Sequence[Candidate]) -> list[_Columns]:
    """Return a group for each metric: its logarithm, the mean over the members."""
    names = [name for name in candidates[0].costs[0] if all(name in c for one in candidates for c in one.costs)]
    logs = np.array(
        [[fmean(math.log(max(c[name], _LEAST)) for c in one.costs) for name in names] for one in candidates]
    )
    return [logs[:, [i]] for i in range(len(names))]


# ---- the detector ----


def _detector_columns(candidates: Sequence[Candidate]) -> list[_Columns]:
    parts = _of_members(candidates, _shares)
    shapes = [_of_members(candidates, shape) for shape in (_paths, _edges, _nodes)]
    return [*(parts[:, [i]] for i in range(parts.shape[1])), *shapes]


def _of_members(candidates: Sequence[Candidate], numbers: Callable[[DetectorSpec], Sequence[float]]) -> _Columns:
    """Return these numbers of each candidate [N, K], the mean over its members; in one array, as there may be 50,000."""
    found = np.array([[numbers(spec) for spec in one.members] for one in candidates], dtype=np.float64)
    return np.asarray(found.mean(axis=1), dtype=np.float64)


def _paths(spec: DetectorSpec) -> Sequence[float]:
    return graph_shape(spec.topology).paths


def _edges(spec: DetectorSpec) -> Sequence[float]:
    return graph_shape(spec.topology).edges


def _nodes(spec: DetectorSpec) -> Sequence[float]:
    return graph_shape(spec.topology).nodes


@lru_cache(maxsize=100_000)
def _shares(spec: DetectorSpec) -> tuple[float, ...]:
    """Return the logarithms of what feature network and heads have of each metric, relative to the backbone's."""
    parts = breakdown(spec)
    heads = parts.class_head.plus(parts.box_head)
    return tuple(
        math.log(max(part, 1)) - math.log(max(base, 1))
        for other in (parts.neck, heads)
        for part, base in zip(other, parts.backbone, strict=True)
    )


class GraphShape(NamedTuple):
    """The shape of one cell, as vectors of a length that all topologies share."""

    paths: tuple[float, ...]
    """For each pair of levels 2 .. 8: 1 / (1 + edges of the shortest path from input to output); 0 without a path."""
    edges: tuple[float, ...]
    """Edges that go to a finer level, to a coarser one, and within a level."""
    nodes: tuple[float, ...]
    """Nodes of each level 2 .. 8."""


@lru_cache(maxsize=100_000)
def graph_shape(topology: Topology) -> GraphShape:
    """Return the shape of a topology: what short paths, directions and nodes it has."""
    low, high = LEVELS
    count = high - low + 1
    paths = np.zeros((count, count))
    for level, distances in zip(topology.levels, output_distances(topology), strict=True):
        for source, far in distances.items():
            paths[topology.min_level + source - low, level - low] = 1 / (1 + far)
    steps = [topology.level_of(i) - node.level for node in topology.nodes for i in node.inputs]
    nodes = np.bincount([node.level - low for node in topology.nodes], minlength=count)
    return GraphShape(
        paths=tuple(paths.ravel().tolist()),
        edges=(float(sum(s > 0 for s in steps)), float(sum(s < 0 for s in steps)), float(sum(s == 0 for s in steps))),
        nodes=tuple(nodes.astype(float).tolist()),
    )
