"""An encoding of free graphs as a fixed number of genes, and mutations of topologies.

`Genes` numbers every choice, so that any sampler of independent integers can draw graphs: all genes are
always present and every vector in range is a valid topology. `mutate` returns a valid neighbour, for
evolution. Both return topologies that `pruned` has cleaned of nodes that reach no output.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from scalesearch.arch.canonical import canonical
from scalesearch.arch.topology import FUSIONS, GATES, Node, Topology, TopologyError, pruned


@dataclass(frozen=True, kw_only=True)
class Genes:
    """Graphs of up to `nodes` nodes over `levels`, at most `inputs` edges into each, fused by one of `fusions`.

    Slot k of `nodes` slots becomes node k, read in this order from its genes (each 0 .. choices - 1):
    - `node<k>.level`: an index into the levels, finest first. If no more slots are left than levels without
      a node, the index is taken (modulo) among those levels only, so that every level has an output.
    - `node<k>.arity`: the number of inputs that count, minus 1; the other inputs are idle.
    - `node<k>.input<i>`: a number before the node's own, 0 .. levels + k - 1. A repeated input is one edge.
    - `node<k>.fusion`: an index into `fusions`. A gate with only one input becomes the first fusion that is
      no gate, or sum.
    Nodes that reach no output are dropped, so smaller graphs are included. Every topology of at most
    `nodes` nodes, `inputs` edges into each and no repeated edge has genes. A single choice has no gene.
    In a point of a space the choices have names (`choices`); `read` and `write` translate them.
    Raises TopologyError for fewer nodes than levels, and for levels, inputs or fusions that no topology has.
    """

    levels: tuple[int, int] = (3, 7)
    nodes: int = 10
    inputs: int = 3
    fusions: tuple[str, ...] = ("fast",)

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        object.__setattr__(self, "fusions", tuple(self.fusions))
        if self.nodes < len(self._levels) or self.inputs < 1:
            raise TopologyError(
                f"genes need a node for each of the {len(self._levels)} levels and at least one input a node, "
                f"but got nodes {self.nodes}, inputs {self.inputs}"
            )
        if not self.fusions or set(self.fusions) - set(FUSIONS) or len(set(self.fusions)) < len(self.fusions):
            raise TopologyError(f"fusions must be different ones of {', '.join(FUSIONS)}, but got {self.fusions}")
        self.decode(dict.fromkeys(self.axes, 0))  # A bad span is refused here, not at the first draw.

    @property
    def _levels(self) -> range:
        return range(self.levels[0], self.levels[1] + 1)

    @cached_property
    def choices(self) -> dict[str, tuple[str | int, ...]]:
        """The readable choices of each gene: levels, counts of inputs, names of maps, fusions.

        The backbone's map of level 3 is P3. Node k is node<k>, whether it will be pruned or not.
        """
        maps = [*(f"P{level}" for level in self._levels), *(f"node{k}" for k in range(self.nodes))]
        named: dict[str, tuple[str | int, ...]] = {}
        for k in range(self.nodes):
            named[f"node{k}.level"] = tuple(self._levels)
            named[f"node{k}.arity"] = tuple(range(1, self.inputs + 1))
            named |= {f"node{k}.input{i}": tuple(maps[: len(self._levels) + k]) for i in range(self.inputs)}
            named[f"node{k}.fusion"] = self.fusions
        return {name: choices for name, choices in named.items() if len(choices) > 1}

    @cached_property
    def axes(self) -> dict[str, int]:
        """The number of choices of each gene, by its name."""
        return {name: len(choices) for name, choices in self.choices.items()}

    def read(self, point: Mapping[str, str | int | float]) -> Topology:
        """Return the topology at a point that has all genes, each by the name of its choice; other axes are ignored.

        Raises ValueError for a gene that is missing or has no such choice.
        """
        values = []
        for name, places in self._places.items():
            value = point.get(name)
            if value not in places:
                raise ValueError(f"the gene {name} is one of {', '.join(map(str, places))}, but got {value!r}")
            values.append(places[value])
        return _decoded(self, tuple(values))

    def write(self, topology: Topology) -> dict[str, str | int]:
        """Return the genes that `read` turns back into `topology`; spare slots come first, and no node reads them.

        Raises TopologyError for a graph with more levels, nodes, inputs or fusions than these genes, or an edge twice.
        """
        values: dict[str, int] = {}
        try:
            values = self._encode(topology)
            fits = self.decode(values) == topology
        except ValueError:
            fits = False
        if not fits:
            raise TopologyError(
                f"genes of the levels {self.levels}, {self.nodes} nodes, {self.inputs} inputs and the fusions "
                f"{', '.join(self.fusions)} cannot encode the graph {topology}"
            )
        return {name: choices[values[name]] for name, choices in self.choices.items()}

    def _encode(self, topology: Topology) -> dict[str, int]:
        spare, start = self.nodes - len(topology.nodes), len(self._levels)
        values = dict.fromkeys(self.axes, 0)
        levels = {self.levels[0]} if spare > 0 else set()
        for k, node in enumerate(topology.nodes, spare):
            bare = [level for level in self._levels if level not in levels]
            choices = bare if self.nodes - k <= len(bare) else [*self._levels]
            gene = {"level": choices.index(node.level), "arity": len(node.inputs) - 1}
            gene["fusion"] = self.fusions.index(node.fusion) if node.fusion in self.fusions else 0
            gene |= {f"input{i}": j if j < start else j + spare for i, j in enumerate(node.inputs)}
            values |= {key: value for name, value in gene.items() if (key := f"node{k}.{name}") in values}
            levels.add(node.level)
        return values

    def decode(self, values: Mapping[str, int]) -> Topology:
        """Return the topology of the genes; all values in range have one.

        Raises ValueError for a gene that is missing, unknown or out of range.
        """
        for name in {**self.axes, **values}:
            if name not in values or name not in self.axes or not 0 <= values[name] < self.axes[name]:
                raise ValueError(
                    f"genes are {', '.join(list(self.axes)[:3])}, ... each in 0 .. its choices - 1, but {name} is "
                    f"{values.get(name, 'missing')} of {self.axes.get(name, 'no such gene')}"
                )
        return _decoded(self, tuple(values[name] for name in self.axes))

    @cached_property
    def _places(self) -> dict[str, dict[str | int | float | None, int]]:
        """The index of each choice of each gene."""
        return {name: {value: i for i, value in enumerate(choices)} for name, choices in self.choices.items()}

    @cached_property
    def _slots(self) -> tuple[_Slot, ...]:
        place = {name: i for i, name in enumerate(self.axes)}
        return tuple(
            _Slot(
                place[f"node{k}.level"],
                place.get(f"node{k}.arity"),
                tuple(place[f"node{k}.input{i}"] for i in range(self.inputs)),
                place.get(f"node{k}.fusion"),
            )
            for k in range(self.nodes)
        )


class _Slot(NamedTuple):
    """The places of a slot's genes among all genes; None for a gene of a single choice."""

    level: int
    arity: int | None
    inputs: tuple[int, ...]
    fusion: int | None


@lru_cache(maxsize=4096)
def _decoded(genes: Genes, values: tuple[int, ...]) -> Topology:
    """Return the topology of genes in range, in their order.

    Cached: a sampler mutates the same few graphs a hundred times, and prices a mutant that it has just encoded.
    """
    nodes: list[Node] = []
    levels = range(genes.levels[0], genes.levels[1] + 1)
    bare = [*levels]
    for slot in genes._slots:
        arity = 1 if slot.arity is None else values[slot.arity] + 1
        inputs = tuple(dict.fromkeys([values[place] for place in slot.inputs[:arity]]))
        fusion = genes.fusions[0 if slot.fusion is None else values[slot.fusion]]
        choices = bare if genes.nodes - len(nodes) <= len(bare) else levels
        level = choices[values[slot.level] % len(choices)]
        if level in bare:
            bare.remove(level)
        nodes.append(Node(level, inputs, _fitting(fusion, inputs, genes.fusions)))
    return pruned(*genes.levels, nodes)[0]


def _fitting(fusion: str, inputs: Sequence[int], fusions: Sequence[str]) -> str:
    if fusion not in GATES or len(inputs) > 1:
        return fusion
    return next((other for other in fusions if other not in GATES), "sum")


def mutate(
    topology: Topology, rng: random.Random, *, fusions: Sequence[str] = FUSIONS, nodes: int = 60, inputs: int = 4
) -> Topology:
    """Return a valid topology one change away, never an isomorphic one.

    The change is one of: another source for an edge, another fusion for a node, one edge more or less, one
    node more (read by one of the later nodes) or less (its readers read its first input instead).
    New nodes have one of `fusions`. No node gets more than `inputs` edges and no graph more than `nodes` nodes.
    """
    kinds = [_rewire, _rewire, _refuse, _connect, _disconnect, _insert, _remove]
    counts = _level_counts(topology)
    while True:
        change = rng.choice(kinds)
        grown = change(_Edit(topology, fusions, inputs), rng)
        if grown is None or len(grown) > max(nodes, len(topology.nodes)):
            continue
        fitted = [Node(n.level, n.inputs, _fitting(n.fusion, n.inputs, fusions)) for n in grown]
        mutant, _ = pruned(topology.min_level, topology.max_level, fitted)
        if _level_counts(mutant) != counts or canonical(mutant) != canonical(topology):
            return mutant


def _level_counts(topology: Topology) -> Counter[tuple[Any, ...]]:
    """Return the number of nodes of each level, fusion and levels of inputs: equal for isomorphic graphs.

    It takes a hundredth of the time of the canonical form, and differs for nine mutants of ten.
    """
    levels = [*topology.levels, *(node.level for node in topology.nodes)]
    return Counter((node.level, node.fusion, *sorted([levels[j] for j in node.inputs])) for node in topology.nodes)


@dataclass(frozen=True)
class _Edit:
    """The topology that is changed, the fusions to choose from, and the `most` inputs of a node."""

    topology: Topology
    fusions: Sequence[str]
    most: int

    @property
    def nodes(self) -> list[Node]:
        return [*self.topology.nodes]

    @property
    def start(self) -> int:
        return len(self.topology.levels)


def _replaced(edit: _Edit, k: int, inputs: tuple[int, ...], fusion: str | None = None) -> list[Node]:
    node = edit.nodes[k]
    return [*edit.nodes[:k], Node(node.level, inputs, fusion or node.fusion), *edit.nodes[k + 1 :]]


def _rewire(edit: _Edit, rng: random.Random) -> list[Node] | None:
    k = rng.randrange(len(edit.nodes))
    inputs = [*edit.nodes[k].inputs]
    inputs[rng.randrange(len(inputs))] = rng.randrange(edit.start + k)
    return _replaced(edit, k, tuple(dict.fromkeys(inputs)))


def _refuse(edit: _Edit, rng: random.Random) -> list[Node] | None:
    k = rng.randrange(len(edit.nodes))
    return _replaced(edit, k, edit.nodes[k].inputs, rng.choice(edit.fusions))


def _connect(edit: _Edit, rng: random.Random) -> list[Node] | None:
    k = rng.randrange(len(edit.nodes))
    inputs, source = edit.nodes[k].inputs, rng.randrange(edit.start + k)
    return None if source in inputs or len(inputs) >= edit.most else _replaced(edit, k, (*inputs, source))


def _disconnect(edit: _Edit, rng: random.Random) -> list[Node] | None:
    k = rng.randrange(len(edit.nodes))
    inputs = edit.nodes[k].inputs
    gone = rng.randrange(len(inputs))
    return None if len(inputs) == 1 else _replaced(edit, k, inputs[:gone] + inputs[gone + 1 :])


def _insert(edit: _Edit, rng: random.Random) -> list[Node] | None:
    """Insert a node before node k, and an edge from it to k or a later node."""
    k = rng.randrange(len(edit.nodes))
    number = edit.start + k
    sources = rng.sample(range(number), rng.randint(1, min(2, edit.most)))
    new = Node(rng.choice(edit.topology.levels), tuple(sources), rng.choice(edit.fusions))
    moved = [Node(n.level, tuple(j + (j >= number) for j in n.inputs), n.fusion) for n in edit.nodes[k:]]
    reader = rng.randrange(len(moved))
    node = moved[reader]
    if len(node.inputs) < edit.most:
        moved[reader] = Node(node.level, (*node.inputs, number), node.fusion)
    else:
        place = rng.randrange(len(node.inputs))
        moved[reader] = Node(node.level, (*node.inputs[:place], number, *node.inputs[place + 1 :]), node.fusion)
    return [*edit.nodes[:k], new, *moved]


def _remove(edit: _Edit, rng: random.Random) -> list[Node] | None:
    k = rng.randrange(len(edit.nodes))
    gone, number = edit.nodes[k], edit.start + k
    if sum(node.level == gone.level for node in edit.nodes) == 1:
        return None
    kept = []
    for node in edit.nodes[:k] + edit.nodes[k + 1 :]:
        inputs = dict.fromkeys(gone.inputs[0] if j == number else j for j in node.inputs)
        kept.append(Node(node.level, tuple(j - (j > number) for j in inputs), node.fusion))
    return kept
