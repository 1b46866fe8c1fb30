"""Feature network and heads as a graph: the layers of nn/neck.py and nn/heads.py, in the order in which they run.

The one description that every figure is a fold over; which layers there are is said by `arch.structure`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from scalesearch.arch.structure import HeadStructure, NeckStructure
from scalesearch.arch.topology import FUSION, Node
from scalesearch.cost.graph import ONE, Graph, Map, Op

Projected = Sequence[bool] | None
"""Of every backbone level whether its channels differ from the network's. None: left open, every lateral is there
`lateral3`, `lateral4`, ... times."""


@lru_cache
def _map(level: int) -> Map:
    return Map((level,), 1, "width")


def neck(structure: NeckStructure, cells: int, projected: Projected = None, times: str = "") -> Graph:
    """The feature network; its inputs are the backbone's maps, its outputs the levels', finest first.

    times: the symbol that counts what is in the cells, laterals aside. Symbols: width, and raw3, raw4, ... for the
    backbone's channels where they differ.
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


def _pyramid(graph: Graph, structure: NeckStructure, projected: Projected) -> list[int]:
    """Laterals that are one a level, and the levels above the backbone's."""
    raw = list(range(len(structure.backbone_levels)))
    maps = list(raw)
    for i in structure.level_laterals:
        maps[i] = _lateral(graph, structure, raw[i], i, projected)
    x = maps[-1] if structure.pooled else raw[-1]
    if structure.extra_lateral:
        x = _lateral(graph, structure, x, raw[-1], projected)
    for level in structure.extra:
        x = _resample(graph, structure, x, level - 1, level)
        maps.append(x)
    return maps


def _lateral(graph: Graph, structure: NeckStructure, x: int, place: int, projected: Projected) -> int:
    """The 1x1 that brings a backbone map to the network's width; the map itself where it has it already."""
    if projected and not projected[place]:
        return x
    level, before = structure.backbone_levels[place], graph.times
    graph.times = "" if projected else f"lateral{level}"
    x = graph.conv(x, _map(level), bias=structure.bias, norm=True)
    graph.times = before
    return x


def _resample(graph: Graph, structure: NeckStructure, x: int, source: int, target: int) -> int:
    how = structure.resampling(source, target)
    if how is None:
        return x
    return graph.add(how.operator, (x,), _map(target), kernel=how.kernel, stride=how.stride)


def _cell(graph: Graph, structure: NeckStructure, maps: list[int], projected: Projected, *, first: bool) -> list[int]:
    topology, maps = structure.topology, list(maps)
    for node in topology.nodes:
        edges = []
        for number in node.inputs:
            x, level = maps[number], topology.level_of(number)
            if structure.edge_lateral(number, first=first):
                x = _lateral(graph, structure, x, number, projected)
            edges.append(_resample(graph, structure, x, level, node.level))
        maps.append(_node(graph, structure, node, edges))
    return [maps[i] for i in topology.outputs]


def _node(graph: Graph, structure: NeckStructure, node: Node, edges: list[int]) -> int:
    how = structure.act_first, structure.activation, structure.separable, structure.bias
    return graph.place(_node_op(node.level, node.fusion, len(edges), *how), tuple(edges))


@lru_cache(maxsize=2**14)
def _node_op(level: int, fusion: str, edges: int, act_first: bool, after: str, separable: bool, bias: bool) -> Op:
    """Fusion, and convolution with activation before or after."""
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
    """The 3x3 of a node or a head: depthwise without bias then pointwise, or full."""
    if separable:
        x = graph.conv(x, graph.maps[x], kernel=3, depthwise=True, shared=shared)
    return graph.conv(x, made, kernel=1 if separable else 3, bias=bias, norm=norm, after=after, shared=shared)


# ---- heads ----


def levels(structure: HeadStructure) -> Graph:
    """The maps that heads read and nothing else, as inputs and outputs."""
    graph = Graph()
    graph.outputs = [graph.start(*_map(level)) for level in structure.levels]
    return graph


def add_head(
    graph: Graph, structure: HeadStructure, maps: Sequence[int], part: str, outputs: str, depth: int | None
) -> int:
    """Adds one head over the levels' maps and gives the number of its result; its weights are shared by the levels.

    outputs: the symbol of its predictions. depth: convolutions before the predicting one; None: left open, the first is
    there `some` times and the second `more`, and the symbol `last` is what the predicting one reads.
    """
    graph.part, ends = part, []
    for i, x in enumerate(maps):
        ends.append(_tower(graph, structure, x, depth, shared=i > 0))
    levels = tuple(structure.levels)
    if not structure.separable:
        for i, (level, x) in enumerate(zip(levels, ends, strict=True)):
            ends[i] = graph.conv(x, Map((level,), 1, outputs), kernel=3, bias=True, shared=i > 0)
        return graph.add("concat", tuple(ends), Map(levels, 1, outputs))
    # The levels are joined before the last 1x1, which is one product.
    for i, x in enumerate(ends):
        ends[i] = graph.conv(x, graph.maps[x], kernel=3, depthwise=True, shared=i > 0)
    joined = graph.add("concat", tuple(ends), Map(levels, 1, graph.maps[ends[0]].symbol))
    return graph.add("product", (joined,), Map(levels, 1, outputs), bias=True)


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
    """The feature network's graph, flat, with both heads, whose results are its outputs: class, box."""
    graph = graph.flat()
    maps = graph.outputs
    graph.outputs = [
        add_head(graph, structure, maps, part, symbol, depth)
        for part, symbol in (("class_head", "class"), ("box_head", "box"))
    ]
    return graph
