"""The published feature networks as topologies, for any span of levels (NAS-FPN: only its own).

Notation, levels 3..7: inputs 0:P3 1:P4 2:P5 3:P6 4:P7, nodes from 5 on; `6:5[2,5]` is node 6 at level 5
that reads 2 and 5. If the edges were never published, the docstring says which ones are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import product

from scalesearch.arch.topology import FUSIONS, Node, Topology, TopologyError, check_span


class _Builder:
    """A topology under construction: `add` returns the number of the new node. TopologyError for a bad span."""

    def __init__(self, min_level: int, max_level: int, fusion: str) -> None:
        check_span(min_level, max_level)
        self.span, self.fusion = (min_level, max_level), fusion
        self.levels = range(min_level, max_level + 1)
        self.source = {level: level - min_level for level in self.levels}
        self.nodes: list[Node] = []

    def add(self, level: int, *inputs: int) -> int:
        self.nodes.append(Node(level, inputs, self.fusion))
        return len(self.levels) + len(self.nodes) - 1

    def chain(self, levels: Iterable[int], *reads: dict[int, int], start: int | None = None) -> dict[int, int]:
        """Add a node at each of `levels`: it reads each of `reads` that has its level, then the node before it."""
        made: dict[int, int] = {}
        before = start
        for level in levels:
            inputs = [read[level] for read in reads if level in read]
            before = made[level] = self.add(level, *inputs, *(() if before is None else (before,)))
        return made

    def done(self) -> Topology:
        return Topology(*self.span, tuple(self.nodes))


def fpn(min_level: int = 3, max_level: int = 7, fusion: str = "fast") -> Topology:
    """One top-down pass (EfficientDet sec. 3.1): 5:7[4] 6:6[3,5] 7:5[2,6] 8:4[1,7] 9:3[0,8]."""
    graph = _Builder(min_level, max_level, fusion)
    graph.chain(reversed(graph.levels), graph.source)
    return graph.done()


def fpn_repeated(min_level: int = 3, max_level: int = 7, fusion: str = "fast") -> Topology:
    """Table 5's "repeated top-down FPN": two nodes a level (google/automl issue 790), 10 nodes at five levels.

    The edges into the second node of a level were not published. Ours are a second top-down pass over the
    first: fpn, then 10:7[5] 11:6[6,10] 12:5[7,11] 13:4[8,12] 14:3[9,13].
    """
    graph = _Builder(min_level, max_level, fusion)
    first = graph.chain(reversed(graph.levels), graph.source)
    graph.chain(reversed(graph.levels), first)
    return graph.done()


def panet(min_level: int = 3, max_level: int = 7, fusion: str = "fast") -> Topology:
    """Top-down, then bottom-up (PANet): fpn, then 10:3[9] 11:4[8,10] 12:5[7,11] 13:6[6,12] 14:7[5,13].

    The layout of 10 nodes behind Table 5's "repeated FPN+PANet" (google/automl issue 790).
    """
    graph = _Builder(min_level, max_level, fusion)
    down = graph.chain(reversed(graph.levels), graph.source)
    graph.chain(graph.levels, down)
    return graph.done()


def panet_simplified(min_level: int = 3, max_level: int = 7, fusion: str = "fast") -> Topology:
    """PANet without its nodes of one input (EfficientDet sec. 3.2, the first step to BiFPN).

    5:6[3,4] 6:5[2,5] 7:4[1,6] 8:3[0,7] 9:4[7,8] 10:5[6,9] 11:6[5,10] 12:7[4,11].
    """
    graph = _Builder(min_level, max_level, fusion)
    down = _top_down(graph)
    graph.chain(graph.levels[1:], {**down, max_level: graph.source[max_level]}, start=down[min_level])
    return graph.done()


def bifpn(min_level: int = 3, max_level: int = 7, fusion: str = "fast") -> Topology:
    """EfficientDet's network (sec. 3.2): 5:6[3,4] 6:5[2,5] 7:4[1,6] 8:3[0,7] 9:4[1,7,8] .. 12:7[4,11].

    The simplified PANet plus an edge from each inner level's input to its output: 2n - 2 nodes for n
    levels (google/automl tf2/fpn_configs.py).
    """
    graph = _Builder(min_level, max_level, fusion)
    _bifpn(graph)
    return graph.done()


def qufpn(min_level: int = 3, max_level: int = 7, fusion: str = "fast") -> Topology:
    """Quad-FPN (google/automl fpn_configs.py): a BiFPN, its mirror image, and a node that adds both at each level.

    5..12 as bifpn; 13:4[1,0] 14:5[2,13] 15:6[3,14] 16:7[4,15]; 17:6[3,15,16] 18:5[2,14,17] 19:4[1,13,18]
    20:3[0,19]; 21:7[12,16] 22:6[11,17] 23:5[10,18] 24:4[9,19] 25:3[8,20]. Every node has the same fusion,
    as the official builders do, though their configuration names another for the last five.
    """
    graph = _Builder(min_level, max_level, fusion)
    one = _bifpn(graph)
    up = graph.chain(graph.levels[1:], graph.source, start=graph.source[min_level])
    inner = {level: up[level] for level in graph.levels[1:-1]}
    down = graph.chain(reversed(graph.levels[:-1]), graph.source, inner, start=up[max_level])
    other = {**down, max_level: up[max_level]}
    for level in reversed(graph.levels):
        graph.add(level, one[level], other[level])
    return graph.done()


def fully_connected(min_level: int = 3, max_level: int = 7, fusion: str = "fast") -> Topology:
    """Table 5's "fully-connected FPN": edges from all input levels to all output levels.

    Its edges were never published. Ours is panet whose bottom-up nodes also read every input: fpn, then
    10:3[0,1,2,3,4,9] 11:4[0,1,2,3,4,8,10] .. 14:7[0,1,2,3,4,5,13]. With a 1x1 convolution on each edge that
    reads the backbone it costs about what the table says (docs/feature_networks.md).
    """
    graph = _Builder(min_level, max_level, fusion)
    down = graph.chain(reversed(graph.levels), graph.source)
    everywhere = [dict.fromkeys(graph.levels, source) for source in graph.source.values()]
    inner = {level: down[level] for level in graph.levels[1:]}
    graph.chain(graph.levels, *everywhere, inner, start=down[min_level])
    return graph.done()


def nasfpn(min_level: int = 3, max_level: int = 7, fusion: str = "sum") -> Topology:
    """NAS-FPN's published cell (tensorflow/tpu nasfpn.py), levels 3..7 only; TopologyError for another span.

    5:4[3,1] gate, 6:4[1,5], 7:3[0,6], 8:4[6,7], 9:5[8,7,2] gate, 10:7[9,6,4] gate, 11:6[10,9] gate. The builder
    adds the last inputs of 9 and 10: maps of the node's level that no node has read. The gate is the global
    maximum of the coarser of the first two inputs. The other nodes have `fusion` (published: sum).
    """
    return _nasfpn(min_level, max_level, fusion, "gate_max", ((3, 1), (8, 7, 2), (9, 6, 4), (10, 9)))


def nasfpn_avg(min_level: int = 3, max_level: int = 7, fusion: str = "sum") -> Topology:
    """MMDetection's variant of `nasfpn`: gated by the global average of the other input, the finer one.

    5:4[1,3] 9:5[7,8,2] 10:7[6,9,4] 11:6[9,10] (mmdet nas_fpn.py, where each extra level has a 1x1 convolution).
    """
    return _nasfpn(min_level, max_level, fusion, "gate_avg", ((1, 3), (7, 8, 2), (6, 9, 4), (9, 10)))


def _nasfpn(low: int, high: int, fusion: str, gate: str, gated: tuple[tuple[int, ...], ...]) -> Topology:
    if (low, high) != (3, 7):
        raise TopologyError(
            f"the topology nasfpn exists only for levels 3..7, but got {low}..{high}; "
            "take min_level 3 and max_level 7, or another topology"
        )
    first, fifth, sixth, seventh = gated
    nodes = (
        Node(4, first, gate),
        Node(4, (1, 5), fusion),
        Node(3, (0, 6), fusion),
        Node(4, (6, 7), fusion),
        Node(5, fifth, gate),
        Node(7, sixth, gate),
        Node(6, seventh, gate),
    )
    return Topology(low, high, nodes)


def _top_down(graph: _Builder) -> dict[int, int]:
    """Add a top-down pass that starts from the coarsest input itself: 5:6[3,4] 6:5[2,5] 7:4[1,6] 8:3[0,7]."""
    return graph.chain(reversed(graph.levels[:-1]), graph.source, start=graph.source[graph.levels[-1]])


def _bifpn(graph: _Builder) -> dict[int, int]:
    """Add a BiFPN; return its output of each level."""
    down = _top_down(graph)
    inner = {level: down[level] for level in graph.levels[1:-1]}
    up = graph.chain(graph.levels[1:], graph.source, inner, start=down[graph.levels[0]])
    return {**up, graph.levels[0]: down[graph.levels[0]]}


TOPOLOGIES: dict[str, Callable[..., Topology]] = {
    "fpn": fpn,
    "fpn_repeated": fpn_repeated,
    "panet": panet,
    "panet_simplified": panet_simplified,
    "bifpn": bifpn,
    "qufpn": qufpn,
    "fully_connected": fully_connected,
    "nasfpn": nasfpn,
    "nasfpn_avg": nasfpn_avg,
}
"""The named feature networks: name -> (min_level, max_level[, fusion]) -> Topology. The default fusion is fast,
and sum for NAS-FPN."""

ONE_SPAN = {"nasfpn": (3, 7), "nasfpn_avg": (3, 7)}
"""The networks that exist for one span of levels only, with that span."""


def published_name(topology: Topology) -> tuple[str, str | None] | None:
    """Return the name of the network that a topology is, and its fusion unless that is the network's own; None for a graph."""
    for name, fusion in product(TOPOLOGIES, (None, *FUSIONS)):
        try:
            own = TOPOLOGIES[name](topology.min_level, topology.max_level)
            found = own.fused(fusion) if fusion else own
        except ValueError:
            continue  # it does not exist for these levels, or with this fusion
        if found == topology:
            return name, fusion
    return None
