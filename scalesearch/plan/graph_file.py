"""The strict reader of a user's feature network `{levels: [3, 7], nodes: [...]}`; errors have file and line.

Inputs are numbered 0 .. n-1 from the finest level, nodes from n on in the order of the list. A node is
`{level: 6, inputs: [3, 4], fusion: fast}` or `[6, [3, 4], fast]`; the default fusion is fast. The
output of a level is its last node. Imports `reader` and `arch`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from scalesearch.arch.networks import TOPOLOGIES
from scalesearch.arch.topology import FUSIONS, GATES, LEVELS, Node, Topology, TopologyError, check_number, pruned
from scalesearch.plan.reader import Section, Value, read_section

_DEFAULT_FUSION = "fast"
_SUFFIXES = (".yaml", ".yml", ".json")


@dataclass(frozen=True)
class PrunedTopology:
    """A topology that was read, and a line for each node that was dropped because it reaches no output."""

    topology: Topology
    notes: tuple[str, ...]


def read_graph_file(path: Path) -> PrunedTopology:
    """Read the graph under `topology:` in a YAML file with no other key. PlanError with file and line."""
    top = read_section(path)
    value = top.need("topology")
    top.done()
    return read_graph(value)


def read_graph(value: Value) -> PrunedTopology:
    """Read the graph at `value`. PlanError with file and line for anything that is no feature network."""
    section = value.section()
    levels, items = _levels(section.need("levels")), section.need("nodes")
    section.done()
    places = items.items()
    _check_number(items, len(places), 0)
    nodes = [_node(place, levels) for place in places]
    _check_number(items, len(nodes), sum(len(node.inputs) for node in nodes))
    for k, (place, node) in enumerate(zip(places, nodes, strict=True)):
        _check_inputs(place, len(levels) + k, node, nodes, len(levels))
    if bare := sorted(set(levels) - {node.level for node in nodes}):
        raise items.error(
            f"must have a node at each level (its last one is the level's output), but level {bare[0]} has none"
        )
    topology, dropped = pruned(levels[0], levels[-1], nodes)
    notes = (
        f"{places[i - len(levels)].node.place}: dropped node {i} (level {nodes[i - len(levels)].level}, inputs "
        f"{list(nodes[i - len(levels)].inputs)}): it reaches no output; the nodes after it are numbered anew"
        for i in dropped
    )
    return PrunedTopology(topology, tuple(notes))


def _check_number(items: Value, nodes: int, edges: int) -> None:
    try:
        check_number(nodes, edges)
    except TopologyError as error:
        raise items.error(f"is too large: {error}") from None


def _levels(value: Value) -> range:
    ends = [item.integer() for item in value.items()]
    if len(ends) != 2 or not LEVELS[0] <= ends[0] < ends[1] <= LEVELS[1]:
        raise value.error(
            f"must be [finest, coarsest] with {LEVELS[0]} <= finest < coarsest <= {LEVELS[1]}, but got {ends}"
        )
    return range(ends[0], ends[1] + 1)


def _node(value: Value, levels: range) -> Node:
    if value.is_section:
        section = value.section()
        level, inputs, fusion = section.need("level"), section.need("inputs"), section.get("fusion")
        section.done()
    else:
        items = value.items()
        if len(items) not in (2, 3):
            raise value.error(f"must be [level, [inputs], fusion], the fusion optional, but got {len(items)} values")
        level, inputs, fusion = items[0], items[1], items[2] if len(items) == 3 else None
    if level.integer() not in levels:
        raise level.error(f"must be one of the levels {levels[0]}..{levels[-1]}, but got {level.integer()}")
    word = fusion.word(FUSIONS) if fusion else _DEFAULT_FUSION
    numbers = tuple(item.integer() for item in inputs.items())
    if word in GATES and len(numbers) < 2:
        raise value.error(f"must have two inputs at least for the fusion {word}, but got {list(numbers)}")
    return Node(level.integer(), numbers, word)


def _check_inputs(place: Value, number: int, node: Node, nodes: Sequence[Node], start: int) -> None:
    """Raise PlanError for an input that does not exist, that closes a cycle, or that is listed later."""
    for j in node.inputs:
        if not 0 <= j < start + len(nodes):
            raise place.error(
                f"reads {j}, which is not there: the inputs are 0..{start - 1}, finest first, and the nodes "
                f"{start}..{start + len(nodes) - 1} in the order of the list"
            )
        if j < number:
            continue
        if cycle := _path(j, number, nodes, start):
            around = " reads ".join(map(str, (number, *cycle)))
            raise place.error(f"closes a cycle ({around}); a node reads inputs and nodes before it")
        raise place.error(f"reads node {j}, which comes later; put node {j} before node {number} in the list")


def _path(source: int, target: int, nodes: Sequence[Node], start: int) -> tuple[int, ...]:
    """Return the path source, an input of it, ..., target; empty if source does not depend on target."""
    paths: list[tuple[int, ...]] = [(source,)]
    seen = {source}
    while paths:
        path = paths.pop(0)
        if path[-1] == target:
            return path
        inputs = nodes[path[-1] - start].inputs if start <= path[-1] < start + len(nodes) else ()
        paths += [(*path, j) for j in dict.fromkeys(inputs) if j not in seen]
        seen.update(inputs)
    return ()


class NamedGraphs:
    """The user's graphs of one plan by name: those under `graphs:`, and the files that it names.

    The name of a file is its path as written, relative to the plan's folder. A resolved plan has all
    graphs under `graphs:` and needs no file.
    """

    def __init__(self, folder: Path, written: Section | None = None) -> None:
        self.folder = folder
        self.found: dict[str, Topology] = {}
        self.notes: list[str] = []
        for name in written.keys if written else ():
            assert written
            self.add(name, written.need(name))

    def add(self, name: str, value: Value) -> str:
        """Add the graph at `value` under `name`; return `name`."""
        if name in TOPOLOGIES:
            raise value.error(f"must have a name of its own, but {name} is a published network")
        return self._keep(name, read_graph(value))

    def _keep(self, name: str, graph: PrunedTopology) -> str:
        self.found[name] = graph.topology
        self.notes += graph.notes
        return name

    def name(self, value: Value) -> str:
        """Return the name at `value`, of a published network or a user's graph; a file is read at its first use."""
        text = value.text()
        if text in TOPOLOGIES or text in self.found:
            return text
        known = [*TOPOLOGIES, *self.found]
        if not text.endswith(_SUFFIXES):
            close = get_close_matches(text, known, n=1, cutoff=0.6)
            mend = f"; did you mean {close[0]!r}?" if close else ""
            raise value.error(f"must be one of {', '.join(known)}, or a .yaml file of a graph, but got {text!r}{mend}")
        if not (self.folder / text).is_file():
            raise value.error(f"names a file of a graph, but there is no {self.folder / text}; check the path")
        return self._keep(text, read_graph_file(self.folder / text))
