"""The canonical form of a topology: one representative for all isomorphic graphs.

It is the lexicographically smallest node list over every numbering that keeps inputs before their
users and each level's output last. A repeated input is two edges; the order of inputs counts only for a
gate's first two; twins (same level, inputs and fusion) stay two nodes.

The list is grown node by node, always by the smallest entry that any numbering allows. What makes it
fast where many numberings tie:
- twins are not told apart before a user of theirs does: a `_Cell` holds them with the numbers that they
  share (24 twins would have 24! orders);
- where users of equal entries would tell them apart differently, each choice becomes a `_State`; states
  that an automorphism of the graph maps to each other go on as one. Automorphisms are found by colour
  refinement and, where colours are not enough, by trying (as nauty does).
A published network takes 0.2 to 1.5 ms, random graphs of 60 nodes 5 to 400 ms, 20 equal chains of 3 nodes 1 s.
What still grows like k! are k chains of twins that are alike but for their far ends (k = 6: 0.5 s).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from scalesearch.arch.topology import GATES, Node, Topology

NodeEntry = tuple[int, tuple[int, ...], str]
"""An entry of the node list: level, inputs, fusion."""


@lru_cache(maxsize=4096)
def canonical(topology: Topology) -> Topology:
    """The representative of all topologies isomorphic to this one."""
    graph = _Graph(topology)
    states = [_State(tuple(_Cell((i,), (i,), None) for i in range(graph.inputs)))]
    keys: list[NodeEntry] = []
    for number in range(graph.inputs, graph.inputs + len(topology.nodes)):
        moves = [(key, state, move) for state in states for key, move in _moves(graph, state)]
        best = min(key for key, _, _ in moves)
        states = _distinct(graph, [state.after(move, best, number) for k, state, move in moves if k == best])
        keys.append(best)
    nodes = tuple(Node(level, inputs, fusion) for level, inputs, fusion in keys)
    return Topology(topology.min_level, topology.max_level, nodes)


class _Graph:
    """A topology as its nodes' groups of inputs and users."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.inputs = len(topology.levels)
        self.everyone = range(self.inputs, self.inputs + len(topology.nodes))
        self.outputs = frozenset(topology.outputs)
        self.same_level = Counter(node.level for node in topology.nodes)
        self.ranks = {i: _ranks(self.node(i)) for i in self.everyone}
        self.twin = {i: _twin(self.node(i)) for i in self.everyone}

    def node(self, number: int) -> Node:
        return self.topology.nodes[number - self.inputs]

    def colour(self, i: int) -> tuple[Any, ...]:
        """What an input or a node is by itself."""
        return (i,) if i < self.inputs else (self.node(i).level, self.node(i).fusion, i in self.outputs)

    @cached_property
    def edges(self) -> list[list[tuple[int, int]]]:
        """By input or node: (what kind of edge, the other end), in both directions."""
        edges: list[list[tuple[int, int]]] = [[] for _ in range(self.everyone.stop)]
        for i in self.everyone:
            node = self.node(i)
            for place, j in enumerate(node.inputs):
                kind = min(place, 2) if node.fusion in GATES else 2
                edges[i].append((kind, j))
                edges[j].append((kind + 3, i))
        return edges


def _twin(node: Node) -> tuple[Any, ...]:
    """What twins share."""
    first = node.inputs[:2] if node.fusion in GATES else ()
    return node.level, first, tuple(sorted(node.inputs[len(first) :])), node.fusion


def _ranks(node: Node) -> tuple[tuple[int, ...], ...]:
    """The inputs in the order in which the smaller numbers go to them; those of one group are alike.

    A gate compares its first input first, then its second. Elsewhere sorted inputs are smallest where the
    input that is read most often has the smallest number.
    """
    fixed = [(j,) for j in dict.fromkeys(node.inputs[:2])] if node.fusion in GATES else []
    rest = Counter(node.inputs[2:] if fixed else node.inputs)
    for (j,) in fixed:
        rest.pop(j, None)
    counts = sorted(set(rest.values()), reverse=True)
    return (*fixed, *(tuple(sorted(j for j in rest if rest[j] == count)) for count in counts))


@dataclass(frozen=True)
class _Cell:
    """Twins: `members` of which len(numbers) have been placed, nobody yet knows which has which number."""

    members: tuple[int, ...]
    numbers: tuple[int, ...]
    key: NodeEntry | None
    """Their entry in the list; None for an input."""


@dataclass(frozen=True)
class _State:
    """All numberings that gave the list so far and that the cells allow."""

    cells: tuple[_Cell, ...]

    @cached_property
    def cell_of(self) -> dict[int, int]:
        return {member: place for place, cell in enumerate(self.cells) for member in cell.members}

    def after(self, move: _State | int, key: NodeEntry, number: int) -> _State:
        """The state with one more placed: a member of the cell `move`, or the last cell of the state `move`."""
        base, place = (self, move) if isinstance(move, int) else (move, len(move.cells) - 1)
        cells = [*base.cells]
        cells[place] = _Cell(cells[place].members, (*cells[place].numbers, number), key)
        return _State(tuple(cells))


def _moves(graph: _Graph, state: _State) -> Iterator[tuple[NodeEntry, _State | int]]:
    """What could be placed next: the smallest entry it could have, and how the cells stand then."""
    full = Counter[int]()
    for place, cell in enumerate(state.cells):
        if cell.key is not None:
            full[cell.key[0]] += len(cell.numbers)
            if len(cell.numbers) < len(cell.members):
                yield cell.key, place
    twins: dict[tuple[Any, ...], list[int]] = {}
    for i in graph.everyone:
        node = graph.node(i)
        if i in state.cell_of or any(j not in state.cell_of for j in node.inputs):
            continue
        # The output of a level comes after every other node of its level.
        if i not in graph.outputs or full[node.level] == graph.same_level[node.level] - 1:
            twins.setdefault(graph.twin[i], []).append(i)
    for members in twins.values():
        if split := _split_twins(state, graph.ranks[members[0]]):
            node, number = graph.node(members[0]), split.cell_of
            read = [split.cells[number[j]] for j in node.inputs]
            yield _key(node, read), _State((*split.cells, _Cell(tuple(members), (), None)))


def _key(node: Node, read: Sequence[_Cell]) -> NodeEntry:
    """The entry of a node whose input cells were told apart: their numbers are then its own."""
    taken: dict[int, dict[int, int]] = {}
    numbers = []
    for j, cell in zip(node.inputs, read, strict=True):
        # Alike inputs share a cell: which of them has which number changes nothing here.
        own = taken.setdefault(id(cell), {})
        numbers.append(cell.numbers[own.setdefault(j, len(own))])
    if node.fusion in GATES:
        return node.level, (*numbers[:2], *sorted(numbers[2:])), node.fusion
    return node.level, tuple(sorted(numbers)), node.fusion


def _split_twins(state: _State, ranks: tuple[tuple[int, ...], ...]) -> _State | None:
    """The state where inputs of earlier ranks have the smaller numbers of their cells; None where these run out."""
    read = [state.cells[state.cell_of[j]] for group in ranks for j in group]
    if all(len(cell.members) == len(cell.numbers) == 1 for cell in read):
        return state
    cells, cell_of = [*state.cells], dict(state.cell_of)
    for group in ranks:
        by_cell: dict[int, list[int]] = {}
        for j in group:
            by_cell.setdefault(cell_of[j], []).append(j)
        for place, chosen in by_cell.items():
            cell = cells[place]
            if len(chosen) > len(cell.numbers):
                return None
            if len(chosen) == len(cell.members):
                continue
            left = tuple(j for j in cell.members if j not in chosen)
            cells[place] = _Cell(left, cell.numbers[len(chosen) :], cell.key)
            cells.append(_Cell(tuple(chosen), cell.numbers[: len(chosen)], cell.key))
            cell_of.update(dict.fromkeys(chosen, len(cells) - 1))
    return _State(tuple(cells))


# ---- states that an automorphism maps to each other ----

Colours = list[int]


def _distinct(graph: _Graph, states: Sequence[_State]) -> list[_State]:
    """One state of each class of states that automorphisms of the graph map to each other."""
    if len(states) == 1:
        return list(states)
    kept: dict[frozenset[tuple[int, int]], list[tuple[_State, Colours]]] = {}
    for state in states:
        colours = _refined(graph, _coloured(graph, state))
        alike = kept.setdefault(frozenset(Counter(colours).items()), [])
        if not any(_isomorphic(graph, colours, other) for _, other in alike):
            alike.append((state, colours))
    return [state for alike in kept.values() for state, _ in alike]


def _coloured(graph: _Graph, state: _State) -> Colours:
    """What tells the nodes of a state apart at first sight."""
    colours = [hash(graph.colour(i)) for i in range(graph.everyone.stop)]
    for cell in state.cells:
        for i in cell.members:
            colours[i] = hash((colours[i], cell.numbers, len(cell.members)))
    return colours


def _refined(graph: _Graph, colours: Colours) -> Colours:
    """Colours that also tell apart nodes whose neighbours have different colours, until nothing changes.

    A colour is a hash of what it means and never a rank, so that colours of two states can be compared.
    """
    count = len(set(colours))
    while count < len(colours):
        colours = [
            hash((colour, *sorted([(kind, colours[j]) for kind, j in edges])))
            for colour, edges in zip(colours, graph.edges, strict=True)
        ]
        before, count = count, len(set(colours))
        if before == count:
            break
    return colours


def _isomorphic(graph: _Graph, one: Colours, other: Colours) -> bool:
    """Whether a permutation of the nodes keeps all edges and maps the colours `one` to `other`, both refined."""
    counts = Counter(one)
    if counts != Counter(other):
        return False
    several = [colour for colour, count in counts.items() if count > 1]
    if not several:
        place = {colour: j for j, colour in enumerate(other)}
        image = [place[colour] for colour in one]
        return all(
            sorted((kind, image[j]) for kind, j in graph.edges[i]) == sorted(graph.edges[image[i]])
            for i in range(len(one))
        )
    colour = min(several, key=lambda c: (counts[c], one.index(c)))
    single = _refined(graph, _marked(one, one.index(colour)))
    return any(
        _isomorphic(graph, single, _refined(graph, _marked(other, j))) for j, c in enumerate(other) if c == colour
    )


def _marked(colours: Colours, i: int) -> Colours:
    return [hash((colour, "marked")) if j == i else colour for j, colour in enumerate(colours)]
