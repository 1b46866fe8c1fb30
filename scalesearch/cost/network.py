"""Feature network and heads as a graph: the layers of `nn/neck.py` and `nn/heads.py`, in the order in which they run.

Every metric is computed from this one description. The rules for which layers there are stand in `arch.structure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from scalesearch.arch.structure import HeadStructure, NeckStructure, resampling
from scalesearch.arch.topology import FUSION
from scalesearch.cost.graph import KEEP_INPUTS, ONE, Graph, Map, Op

Projected = Sequence[bool] | None
"""Whether the channels of each backbone level differ from the network's. None: open, so that each lateral occurs
`lateral3`, `lateral4`, ... times."""


@lru_cache
def _map(level: int) -> Map:
    return Map((level,), 1, "width")


def neck(structure: NeckStructure, cells: int, projected: Projected = None, times: str = "") -> Graph:
    """Return the feature network; its inputs are the backbone's maps, its outputs those of the levels, finest first.

    times: the symbol for how often the cells' operators occur, except laterals. Symbols: width, and raw3, raw4, ...
    for the backbone's channels if they differ.
    """
    graph = Graph(part="neck")
    for i, level in enumerate(structure.backbone_levels):
        graph.start((level,), 1, "width" if projected and not projected[i] else f"raw{level}")
    maps = _pyramid(graph, structure, projected)
    graph.times = times
    for i in range(cells):
        maps = _cell(graph, structure, maps, projected, first=i == 0)
    graph.outputs = maps
    return graph


def cell(structure: NeckStructure, *, first: bool) -> Graph:
    """Return one cell alone, the first one with its laterals; its inputs are the maps of all levels."""
    before = neck(structure, 0)
    graph = Graph(part="neck")
    sizes = [before.maps[x] for x in before.outputs] if first else [_map(level) for level in _levels(structure)]
    graph.outputs = _cell(graph, structure, [graph.start(*size) for size in sizes], None, first=first)
    return graph


def _levels(structure: NeckStructure) -> range:
    return range(structure.topology.min_level, structure.topology.max_level + 1)


def _pyramid(graph: Graph, structure: NeckStructure, projected: Projected) -> list[int]:
    """Add the laterals of whole levels, and the levels above the backbone's; return the maps of all levels."""
    raw = list(range(len(structure.backbone_levels)))
    maps = list(raw)
    for i in structure.level_laterals:
        maps[i] = _lateral(graph, structure, raw[i], i, projected)
    x = maps[-1] if structure.pooled else raw[-1]
    if structure.extra_lateral:
        x = _lateral(graph, structure, x, raw[-1], projected)
    for level in structure.extra:
        x = _resample(graph, structure, x, level)
        maps.append(x)
    return maps


def _lateral(graph: Graph, structure: NeckStructure, x: int, place: int, projected: Projected) -> int:
    """Add the 1x1 convolution of a backbone map to the network's width; return the map itself if it has that width."""
    if projected and not projected[place]:
        return x
    level, before = structure.backbone_levels[place], graph.times
    graph.times = "" if projected else f"lateral{level}"
    x = graph.place(_lateral_op(graph.maps[x], level, structure.bias), (x,))
    graph.times = before
    return x


@lru_cache
def _lateral_op(source: Map, level: int, bias: bool) -> Op:
    return Op("neck", "conv", source, _map(level), bias=bias, norm=True, keeps=True)


def _resample(graph: Graph, structure: NeckStructure, x: int, target: int) -> int:
    op = _resampling_op(graph.maps[x].levels[0], target, structure.down, structure.up)
    return graph.place(op, (x,)) if op else x


@lru_cache(maxsize=1024)
def _resampling_op(source: int, target: int, down: str, up: str) -> Op | None:
    how = resampling(source, target, down, up)
    if how is None:
        return None
    keeps = how.operator in KEEP_INPUTS
    return Op("neck", how.operator, _map(source), _map(target), kernel=how.kernel, stride=how.stride, keeps=keeps)


def _cell(graph: Graph, structure: NeckStructure, maps: list[int], projected: Projected, *, first: bool) -> list[int]:
    topology, maps = structure.topology, list(maps)
    how = structure.act_first, structure.activation, structure.separable, structure.bias
    for node in topology.nodes:
        edges = []
        for number in node.inputs:
            x = maps[number]
            if first and structure.edge_lateral(number, first=first):
                x = _lateral(graph, structure, x, number, projected)
            edges.append(_resample(graph, structure, x, node.level))
        maps.append(graph.place(_node_op(node.level, node.fusion, len(edges), *how), tuple(edges)))
    return [maps[i] for i in topology.outputs]


@lru_cache(maxsize=2**14)
def _node_op(level: int, fusion: str, edges: int, act_first: bool, after: str, separable: bool, bias: bool) -> Op:
    """Return a node's operator: fusion, and convolution with the activation before or after it."""
    graph, made = Graph(part="neck"), _map(level)
    x = _fuse(graph, fusion, [graph.start(*made) for _ in range(edges)], made)
    if act_first:
        x, after = graph.add("activation", (x,), made, after=after), ""
    graph.outputs = [_conv3(graph, x, made, separable=separable, bias=bias, norm=True, after=after)]
    return Op("neck", "node", made, made, inner=graph)


def _fuse(graph: Graph, name: str, edges: list[int], made: Map) -> int:
    fusion = FUSION[name]
    learned = {"": (0, ""), "edge": (len(edges), ""), "channel": (len(edges), "width")}[fusion.weights]
    gate = (graph.add(fusion.gate, (edges[0],), _map(ONE)),) if fusion.gate else ()
    return graph.add(fusion.operator, (*edges, *gate), made, learned=learned, keeps=fusion.keeps)


def _conv3(
    graph: Graph, x: int, made: Map, *, separable: bool, bias: bool, norm: bool, after: str = "", shared: bool = False
) -> int:
    """Add the 3x3 convolution of a node or head: depthwise without bias and then pointwise, or full."""
    if separable:
        x = graph.conv(x, graph.maps[x], kernel=3, depthwise=True, shared=shared)
    return graph.conv(x, made, kernel=1 if separable else 3, bias=bias, norm=norm, after=after, shared=shared)


# ---- heads ----


def levels(structure: HeadStructure) -> Graph:
    """Return a graph of only the maps that heads read, as inputs and outputs."""
    graph = Graph()
    graph.outputs = [graph.start(*_map(level)) for level in structure.levels]
    return graph


def add_head(
    graph: Graph, structure: HeadStructure, maps: Sequence[int], part: str, outputs: str, depth: int | None
) -> int:
    """Add one head over the levels' maps, which share its weights; return the number of its result.

    outputs: the symbol of its predictions. depth: convolutions before the predicting one. None: open, so that the first
    occurs `some` times and the second `more` times, and the predicting one reads `last` channels.
    """
    graph.part, ends = part, []
    for i, x in enumerate(maps):
        ends.append(_tower(graph, structure, x, depth, shared=i > 0))
    levels = tuple(structure.levels)
    if not structure.separable:
        for i, (level, x) in enumerate(zip(levels, ends, strict=True)):
            ends[i] = graph.conv(x, Map((level,), 1, outputs), kernel=3, bias=True, shared=i > 0)
        return graph.add("concat", tuple(ends), Map(levels, 1, outputs))
    # The levels are concatenated before the last 1x1, which is one matrix product.
    for i, x in enumerate(ends):
        ends[i] = graph.conv(x, graph.maps[x], kernel=3, depthwise=True, shared=i > 0)
    joined = graph.add("concat", tuple(ends), Map(levels, 1, graph.maps[ends[0]].symbol))
    return graph.add("product", (joined,), Map(levels, 1, outputs), bias=True)


def tower(structure: HeadStructure) -> Graph:
    """Return the convolutions of a head before the predicting one, at the finest level."""
    graph = Graph(part="head")
    graph.outputs = [_tower(graph, structure, graph.start(*_map(structure.levels[0])), None, shared=False)]
    return graph


def _tower(graph: Graph, structure: HeadStructure, x: int, depth: int | None, *, shared: bool) -> int:
    made, how = graph.maps[x]._replace(symbol="head"), {"separable": structure.separable, "bias": structure.bias}
    for i in range(2 if depth is None else depth):
        graph.times = ("some", "more")[i] if depth is None else ""
        x = _conv3(graph, x, made, **how, norm=True, after=structure.activation, shared=shared)
    graph.times = ""
    if depth is None:
        graph.maps[x] = made._replace(symbol="last")
    return x


def heads(structure: HeadStructure, graph: Graph, depth: int | None) -> Graph:
    """Return the feature network's graph, flat, with both heads; its outputs are their results: class, box."""
    graph = graph.flat()
    maps = graph.outputs
    graph.outputs = [
        add_head(graph, structure, maps, part, symbol, depth)
        for part, symbol in (("class_head", "class"), ("box_head", "box"))
    ]
    return graph
