"""A feature network as data: a tuple of nodes over a span of pyramid levels.

A `Topology` is one cell. Its inputs are the feature maps of its levels, numbered 0 .. n-1 from
the finest. Each node has the next number and fuses maps with earlier numbers at its own level. The
output of a level is the LAST node of that level (the convention of google/automl's FPNCells).
The published networks are in `networks.py`, the representative of isomorphic graphs in `canonical.py`,
genes and mutations in `genes.py`, the layout of a picture in `graph_layout.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Fusion:
    """The fusion of a node's inputs, as far as its cost goes; `nn/neck.py` has the computation."""

    operator: str = "fuse_sum"
    """Its name in a table of latencies."""
    weights: str = ""
    """Learned weights: none, one for each `edge`, or one for each edge and `channel`."""
    gate: str = ""
    """The pooling of a gate's first input: `amax` or `mean`; empty if it is no gate."""
    keeps: bool = False
    """Whether its inputs are kept for the backward pass."""


FUSION = {
    "sum": Fusion(),
    "softmax": Fusion("fuse_scalar", weights="edge", keeps=True),
    "fast": Fusion("fuse_scalar", weights="edge", keeps=True),
    "channel_softmax": Fusion("fuse_channel", weights="channel", keeps=True),
    "channel_fast": Fusion("fuse_channel", weights="channel", keeps=True),
    "gate_max": Fusion("fuse_gate", gate="amax"),
    "gate_avg": Fusion("fuse_gate", gate="mean"),
}
"""The fusions by name (EfficientDet sec. 3.3; NAS-FPN sec. 3.2 for the gates).

sum: plain sum. softmax, fast: one learned scalar for each edge, normalised over the edges by softmax or
by relu(w) / (sum relu(w) + 1e-4). channel_*: the same with one learned number for each edge and channel.
gate_max, gate_avg: first input + second input * sigmoid(global max or average of the first); further
inputs are added. Only the gates depend on the order of the inputs.
"""

FUSIONS = tuple(FUSION)
GATES = tuple(name for name, fusion in FUSION.items() if fusion.gate)
MOST_NODES, MOST_EDGES = 64, 512
"""Limits of one cell. Ids and pictures of larger graphs take minutes, and none was ever trained: NAS-FPN has 11."""
LEVELS = (2, 8)
"""The finest and the coarsest pyramid level that a topology may span (strides 4 to 256)."""


class TopologyError(ValueError):
    """A graph that is not a feature network; the message names the node."""


@dataclass(frozen=True)
class Node:
    """One fusion: resample `inputs` to `level`, join them by `fusion`, convolve."""

    level: int
    inputs: tuple[int, ...]
    fusion: str = "fast"

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))


@dataclass(frozen=True)
class Topology:
    """One cell: a span of levels and the nodes over it. Valid by construction.

    Raises TopologyError for a span outside 2..8, more than `MOST_NODES` nodes or `MOST_EDGES` edges, a node
    without inputs, an input that is not an earlier number (dangling, or a cycle), a level outside the span, a
    level or input that is no integer, an unknown fusion, a gate with fewer than two inputs, a level without a
    node, and a node that reaches no output (`pruned` drops those).
    """

    min_level: int
    max_level: int
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        check_span(self.min_level, self.max_level)
        check_number(len(self.nodes), sum(len(node.inputs) for node in self.nodes))
        _check_nodes(self)
        start = len(self.levels)
        alive = _alive(start, self.nodes)
        if dead := [i for i in range(start, start + len(self.nodes)) if i not in alive]:
            names = ", ".join(f"{i} (level {self.level_of(i)})" for i in dead)
            raise TopologyError(
                f"every node must reach the output of a level, but {names} do not; "
                "drop them with `pruned(min_level, max_level, nodes)`"
            )

    @property
    def levels(self) -> range:
        """The pyramid levels, finest first; level l has stride 2**l."""
        return range(self.min_level, self.max_level + 1)

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        """The number of the last node of each level, finest first."""
        last = {node.level: i for i, node in enumerate(self.nodes, len(self.levels))}
        return tuple(last[level] for level in self.levels)

    @cached_property
    def _hash(self) -> int:
        return hash((self.min_level, self.max_level, self.nodes))

    def __hash__(self) -> int:
        # Cached, since this is the key of a cached price for each of a million candidates.
        return self._hash

    def fused(self, fusion: str) -> Topology:
        """Return the same graph with `fusion` at each node that is no gate."""
        nodes = (node if node.fusion in GATES else Node(node.level, node.inputs, fusion) for node in self.nodes)
        return Topology(self.min_level, self.max_level, tuple(nodes))

    def level_of(self, number: int) -> int:
        """The pyramid level of an input (number < len(levels)) or of a node."""
        if number < len(self.levels):
            return self.min_level + number
        return self.nodes[number - len(self.levels)].level


def check_span(low: int, high: int) -> None:
    """Raise TopologyError unless a topology may span the levels `low` .. `high`."""
    if not (type(low) is type(high) is int and LEVELS[0] <= low < high <= LEVELS[1]):
        raise TopologyError(
            f"levels must satisfy {LEVELS[0]} <= min < max <= {LEVELS[1]} and be integers, but got {low!r}..{high!r}"
        )


def check_number(nodes: int, edges: int) -> None:
    """Raise TopologyError for more nodes or edges than a topology may have."""
    if nodes > MOST_NODES or edges > MOST_EDGES:
        raise TopologyError(
            f"a feature network has at most {MOST_NODES} nodes and {MOST_EDGES} edges, but got {nodes} and {edges}"
        )


def _check_nodes(topology: Topology) -> None:
    low, high = topology.min_level, topology.max_level
    for number, node in enumerate(topology.nodes, len(topology.levels)):
        if fault := _fault(node, number, low, high):
            raise TopologyError(f"node {number} (level {node.level}, inputs {list(node.inputs)}){fault}")
    if bare := sorted(set(topology.levels) - {node.level for node in topology.nodes}):
        raise TopologyError(f"every level needs a node (its last one is its output), but level {bare[0]} has none")


def _fault(node: Node, number: int, low: int, high: int) -> str:
    """Return what is wrong with node `number`, for a message; empty if nothing is."""
    if type(node.level) is not int or not low <= node.level <= high:
        return f": its level must be an integer in {low}..{high}"
    if not node.inputs:
        return ": a node needs at least one input"
    if late := [i for i in node.inputs if type(i) is not int or not 0 <= i < number]:
        return (
            f": inputs must be earlier numbers (0..{number - 1}), but got {late}; "
            "a number that comes later would close a cycle, one that is not there dangles"
        )
    if node.fusion not in FUSIONS:  # a tuple, since a row may hold a list here
        return f": fusion must be one of {', '.join(FUSIONS)}, but got {node.fusion!r}"
    if node.fusion in GATES and len(node.inputs) < 2:
        return f": the fusion {node.fusion} needs at least two inputs"
    return ""


def _alive(start: int, nodes: Sequence[Node]) -> set[int]:
    """Return the numbers of the nodes and inputs that reach an output; nodes are numbered from `start`."""
    alive = set({node.level: i for i, node in enumerate(nodes, start)}.values())
    for i in range(start + len(nodes) - 1, start - 1, -1):
        if i in alive:
            alive.update(nodes[i - start].inputs)
    return alive


def pruned(min_level: int, max_level: int, nodes: Sequence[Node]) -> tuple[Topology, tuple[int, ...]]:
    """Return the topology without the nodes that reach no output, and the numbers of the dropped nodes.

    The outputs (last node of each level) always stay, so the results do not change. Raises
    TopologyError as `Topology` does for errors in the rest.
    """
    inputs = max_level - min_level + 1
    alive = _alive(inputs, nodes)
    if alive.issuperset(range(inputs, inputs + len(nodes))):
        return Topology(min_level, max_level, tuple(nodes)), ()
    kept = [i for i in range(inputs, inputs + len(nodes)) if i in alive]
    number = {old: new for new, old in enumerate([*range(inputs), *kept])}
    moved = []
    for i in kept:
        node = nodes[i - inputs]
        # A missing input stays as it is, for the constructor's message.
        moved.append(Node(node.level, tuple(number.get(j, j) for j in node.inputs), node.fusion))
    dropped = tuple(i for i in range(inputs, inputs + len(nodes)) if i not in alive)
    return Topology(min_level, max_level, tuple(moved)), dropped
