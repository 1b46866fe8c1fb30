"""Validation, and nodes that reach no output."""

from __future__ import annotations

import pytest

from scalesearch.arch.networks import TOPOLOGIES
from scalesearch.arch.topology import Node, Topology, TopologyError, pruned


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([Node(3, ())], r"node 2 \(level 3, inputs \[\]\): a node needs at least one input"),
        ([Node(3, (0, 9))], r"inputs must be earlier numbers \(0..1\), but got \[9\]"),
        ([Node(3, (0, 3)), Node(4, (2,))], r"got \[3\]; a number that comes later would close a cycle"),
        ([Node(5, (0,))], r"node 2 .*: its level must be an integer in 3..4"),
        ([Node(3.0, (0,))], r"node 2 \(level 3.0, .*: its level must be an integer in 3..4"),  # type: ignore[arg-type]
        ([Node(3, (0.0,))], r"inputs must be earlier numbers \(0..1\), but got \[0.0\]"),  # type: ignore[arg-type]
        ([Node(3, (0, 1))], r"every level needs a node .* but level 4 has none"),
        ([Node(3, (0,), "mean"), Node(4, (1,))], r"fusion must be one of sum, .* but got 'mean'"),
        ([Node(3, (0,), ["fast"]), Node(4, (1,))], r"fusion must be one of sum, .* but got \['fast'\]"),  # type: ignore[arg-type]
        ([Node(3, (0,), "gate_max"), Node(4, (1,))], r"the fusion gate_max needs at least two inputs"),
        ([Node(3, (0,)), Node(3, (1,)), Node(4, (3,))], r"every node must reach .* but 2 \(level 3\) do not"),
    ],
)
def test_a_bad_graph_is_refused_by_its_node(nodes: list[Node], message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        Topology(3, 4, tuple(nodes))


@pytest.mark.parametrize("span", [(1, 4), (3, 9), (5, 5), (6, 4), (3, 7.0), ("3", "7")])
def test_a_bad_span_is_refused(span: tuple[int, int]) -> None:
    for make in (lambda low, high: Topology(low, high, ()), *(build for build in TOPOLOGIES.values())):
        with pytest.raises(
            TopologyError, match=r"levels must satisfy 2 <= min < max <= 8|exists only for levels 3\.\.7"
        ):
            make(*span)


def test_pruned_drops_what_reaches_no_output_and_keeps_the_rest() -> None:
    nodes = [Node(3, (0,)), Node(3, (1, 1)), Node(4, (3, 0)), Node(4, (3, 1))]
    topology, dropped = pruned(3, 4, nodes)
    assert dropped == (2, 4)
    assert topology == Topology(3, 4, (Node(3, (1, 1)), Node(4, (2, 1))))
