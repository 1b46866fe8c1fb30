"""The canonical form: the same for relabelled graphs, different for others, quick on symmetric ones."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import combinations

import pytest

from scalesearch.arch.canonical import canonical
from scalesearch.arch.networks import TOPOLOGIES, bifpn, fpn, panet
from scalesearch.arch.topology import GATES, Node, Topology, pruned


def relabelled(topology: Topology, rng: random.Random) -> Topology:
    """The same graph with another order of nodes and of each node's inputs."""
    count, nodes, outputs = len(topology.levels), topology.nodes, set(topology.outputs)
    number = {i: i for i in range(count)}
    while len(number) < count + len(nodes):
        ready = [
            i
            for i in range(count, count + len(nodes))
            if i not in number
            and all(j in number for j in nodes[i - count].inputs)
            and (
                i not in outputs
                or all(
                    k in number or k == i or nodes[k - count].level != nodes[i - count].level
                    for k in range(count, count + len(nodes))
                )
            )
        ]
        number[rng.choice(ready)] = len(number)
    moved = sorted((new, old) for old, new in number.items() if old >= count)
    order = []
    for _, old in moved:
        inputs = [number[j] for j in nodes[old - count].inputs]
        kept = 2 if nodes[old - count].fusion in GATES else 0
        inputs = inputs[:kept] + rng.sample(inputs[kept:], len(inputs) - kept)
        order.append(Node(nodes[old - count].level, tuple(inputs), nodes[old - count].fusion))
    return Topology(topology.min_level, topology.max_level, tuple(order))


@pytest.mark.parametrize("topology", [fpn(), panet(), bifpn(2, 8), *(build(3, 7) for build in TOPOLOGIES.values())])
def test_relabelling_keeps_the_canonical_form(topology: Topology) -> None:
    rng = random.Random(0)
    forms = {canonical(relabelled(topology, rng)) for _ in range(20)}
    assert forms == {canonical(topology)}


def test_twins_with_a_consumer_each_are_not_one_node_with_two() -> None:
    twins = Topology(3, 4, (Node(3, (0, 1)), Node(3, (0, 1)), Node(3, (2, 3)), Node(4, (2, 1))))
    single = Topology(3, 4, (Node(3, (0, 1)), Node(3, (2, 2)), Node(4, (2, 1))))
    swapped = Topology(3, 4, (Node(3, (0, 1)), Node(3, (0, 1)), Node(3, (3, 2)), Node(4, (3, 1))))
    assert canonical(twins) != canonical(single)
    assert canonical(twins) == canonical(swapped)


def test_a_repeated_input_is_two_edges_and_a_gate_keeps_its_order() -> None:
    once, twice = Node(3, (0,)), Node(3, (0, 0))
    assert canonical(Topology(3, 4, (once, Node(4, (1,))))) != canonical(Topology(3, 4, (twice, Node(4, (1,)))))
    gates = [Topology(3, 4, (Node(3, order, "gate_max"), Node(4, (1,)))) for order in ((0, 1), (1, 0))]
    assert canonical(gates[0]) != canonical(gates[1])


def test_twins_are_distinguished_by_the_smallest_next_entry() -> None:
    # 2 and 3 are twins; 4, at a finer level, reads only 3: so 3 comes first, and 4 before the other twin.
    nodes = (Node(4, (1,)), Node(4, (1,)), Node(3, (3, 0)), Node(3, (2, 4)), Node(4, (2, 3, 5)))
    smallest = (Node(4, (1,)), Node(3, (0, 2)), Node(4, (1,)), Node(3, (3, 4)), Node(4, (2, 4, 5)))
    assert canonical(Topology(3, 4, nodes)).nodes == smallest


def every_list(topology: Topology, number: dict[int, int] | None = None) -> Iterator[list[tuple[object, ...]]]:
    """The node list under every numbering with inputs before users and outputs last of their level."""
    count, nodes = len(topology.levels), topology.nodes
    number = number or {i: i for i in range(count)}
    left = [i for i in range(count, count + len(nodes)) if i not in number]
    if not left:
        yield []
    for i in left:
        level, inputs, fusion = nodes[i - count].level, nodes[i - count].inputs, nodes[i - count].fusion
        late = i in topology.outputs and any(k != i and nodes[k - count].level == level for k in left)
        if late or any(j not in number for j in inputs):
            continue
        kept = 2 if fusion in GATES else 0
        places = [number[j] for j in inputs]
        entry = (level, (*places[:kept], *sorted(places[kept:])), fusion)
        for rest in every_list(topology, {**number, i: len(number)}):
            yield [entry, *rest]


@pytest.mark.parametrize("seed", range(60))
def test_the_form_is_the_smallest_list_of_all_numberings(seed: int) -> None:
    rng = random.Random(seed)
    nodes = [_few_choices(rng, number) for number in range(2, 7)]
    ends = [Node(level, tuple(rng.sample(range(7), 2))) for level in (3, 4)]
    topology, _ = pruned(3, 4, [*nodes, *ends])
    form = [(node.level, node.inputs, node.fusion) for node in canonical(topology).nodes]
    assert form == min(every_list(topology))


def _few_choices(rng: random.Random, number: int) -> Node:
    """A node that probably has a twin."""
    inputs = tuple(rng.choice((0, rng.randrange(number))) for _ in range(rng.randint(1, 2)))
    return Node(rng.choice((3, 3, 4)), inputs, rng.choice(("sum", "gate_max")) if len(inputs) > 1 else "sum")


def _joined(nodes: list[Node]) -> Topology:
    """`nodes` after two inputs, and an output on each level that reads all of them."""
    everything = tuple(range(len(nodes) + 2))
    return Topology(3, 4, (*nodes, Node(3, everything, "sum"), Node(4, everything, "sum")))


@pytest.mark.parametrize(
    "topology",
    [
        _joined([Node(3, (0,), "sum")] * 40),
        _joined([Node(3, (0,), "sum")] * 12 + [Node(3, (2 + i,), "sum") for i in range(12)]),
        _joined([Node(3, (0,), "sum")] * 8 + [Node(4, pair, "sum") for pair in combinations(range(2, 10), 2)]),
        _joined([Node(3, (0,), "sum")] * 12 + [Node(4, (2 + i, 2 + (i + 1) % 12), "sum") for i in range(12)]),
    ],
    ids=["40 twins", "12 chains", "each pair of 8", "ring of 12"],
)
def test_symmetric_graphs_are_quick(topology: Topology) -> None:
    # Their numberings are 8! at least: trying them in turn would take minutes to ages; it takes 0.1 s.
    rng = random.Random(1)
    start = time.process_time()
    assert canonical(relabelled(topology, rng)) == canonical(topology)
    assert time.process_time() - start < 30
