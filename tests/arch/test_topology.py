"""Node lists spelled out (google/automl fpn_configs_test.py), validation, and the canonical form."""

from __future__ import annotations

import random

import pytest

from scalesearch.arch.topology import (
    TOPOLOGIES,
    Node,
    Topology,
    TopologyError,
    bifpn,
    canonical,
    fpn,
    panet,
    pruned,
)


def listed(topology: Topology) -> str:
    """`5:7[4] 6:6[3,5]`: number, level, inputs of each node."""
    count = len(topology.levels)
    return " ".join(
        f"{i}:{node.level}[{','.join(map(str, node.inputs))}]" for i, node in enumerate(topology.nodes, count)
    )


@pytest.mark.parametrize(
    ("topology", "nodes"),
    [
        (fpn(), "5:7[4] 6:6[3,5] 7:5[2,6] 8:4[1,7] 9:3[0,8]"),
        (
            panet(),
            "5:7[4] 6:6[3,5] 7:5[2,6] 8:4[1,7] 9:3[0,8] 10:3[9] 11:4[8,10] 12:5[7,11] 13:6[6,12] 14:7[5,13]",
        ),
        (
            bifpn(),
            "5:6[3,4] 6:5[2,5] 7:4[1,6] 8:3[0,7] 9:4[1,7,8] 10:5[2,6,9] 11:6[3,5,10] 12:7[4,11]",
        ),
        (
            bifpn(2, 7),
            "6:6[4,5] 7:5[3,6] 8:4[2,7] 9:3[1,8] 10:2[0,9] 11:3[1,9,10] 12:4[2,8,11] 13:5[3,7,12] 14:6[4,6,13] 15:7[5,14]",
        ),
        (bifpn(3, 4), "2:3[0,1] 3:4[1,2]"),
    ],
)
def test_published_node_lists(topology: Topology, nodes: str) -> None:
    assert listed(topology) == nodes


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("span", [(2, 3), (3, 6), (3, 8), (2, 8), (5, 7)])
def test_every_span_gives_a_valid_cell_with_all_outputs(name: str, span: tuple[int, int]) -> None:
    topology = TOPOLOGIES[name](*span, "sum")
    assert [topology.level_of(i) for i in topology.outputs] == list(topology.levels)
    assert {node.fusion for node in topology.nodes} == {"sum"}


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([Node(3, ())], r"node 2 \(level 3, inputs \[\]\): a node needs at least one input"),
        ([Node(3, (0, 9))], r"inputs must be earlier numbers \(0..1\), but got \[9\]"),
        ([Node(3, (0, 3)), Node(4, (2,))], r"got \[3\]; a number that comes later would close a cycle"),
        ([Node(5, (0,))], r"node 2 .*: its level must be in 3..4"),
        ([Node(3, (0, 1))], r"every level needs a node .* but level 4 has none"),
        ([Node(3, (0,), "mean"), Node(4, (1,))], r"fusion must be one of sum, .* but got 'mean'"),
        ([Node(3, (0,), "gate_max"), Node(4, (1,))], r"the fusion gate_max needs at least two inputs"),
        ([Node(3, (0,)), Node(3, (1,)), Node(4, (3,))], r"every node must reach .* but 2 \(level 3\) do not"),
    ],
)
def test_a_bad_graph_is_refused_by_its_node(nodes: list[Node], message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        Topology(3, 4, tuple(nodes))


@pytest.mark.parametrize("span", [(1, 4), (3, 9), (5, 5), (6, 4)])
def test_a_bad_span_is_refused(span: tuple[int, int]) -> None:
    with pytest.raises(TopologyError, match="levels must satisfy 2 <= min < max <= 8"):
        Topology(*span, ())


def test_pruned_drops_what_reaches_no_output_and_keeps_the_rest() -> None:
    nodes = [Node(3, (0,)), Node(3, (1, 1)), Node(4, (3, 0)), Node(4, (3, 1))]
    topology, dropped = pruned(3, 4, nodes)
    assert dropped == (2, 4)
    assert topology == Topology(3, 4, (Node(3, (1, 1)), Node(4, (2, 1))))


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
            and (i not in outputs or all(k in number or k == i or nodes[k - count].level != nodes[i - count].level
                                         for k in range(count, count + len(nodes))))
        ]
        number[rng.choice(ready)] = len(number)
    moved = sorted((new, old) for old, new in number.items() if old >= count)
    order = []
    for _, old in moved:
        inputs = [number[j] for j in nodes[old - count].inputs]
        rng.shuffle(inputs)
        order.append(Node(nodes[old - count].level, tuple(inputs), nodes[old - count].fusion))
    return Topology(topology.min_level, topology.max_level, tuple(order))


@pytest.mark.parametrize("topology", [fpn(), panet(), bifpn(), bifpn(2, 8)])
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
