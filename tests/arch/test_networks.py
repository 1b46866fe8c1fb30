"""The published node lists spelled out (google/automl fpn_configs_test.py, tensorflow/tpu nasfpn.py)."""

from __future__ import annotations

import pytest

from scalesearch.arch.networks import (
    ONE_SPAN,
    TOPOLOGIES,
    bifpn,
    fpn,
    fpn_repeated,
    fully_connected,
    nasfpn,
    nasfpn_avg,
    panet,
    panet_simplified,
    qufpn,
)
from scalesearch.arch.topology import GATES, Topology, TopologyError


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
            (
                "6:6[4,5] 7:5[3,6] 8:4[2,7] 9:3[1,8] 10:2[0,9] 11:3[1,9,10] 12:4[2,8,11] 13:5[3,7,12] 14:6[4,6,13] "
                "15:7[5,14]"
            ),
        ),
        (bifpn(3, 4), "2:3[0,1] 3:4[1,2]"),
        (
            fpn_repeated(),
            "5:7[4] 6:6[3,5] 7:5[2,6] 8:4[1,7] 9:3[0,8] 10:7[5] 11:6[6,10] 12:5[7,11] 13:4[8,12] 14:3[9,13]",
        ),
        (
            panet_simplified(),
            "5:6[3,4] 6:5[2,5] 7:4[1,6] 8:3[0,7] 9:4[7,8] 10:5[6,9] 11:6[5,10] 12:7[4,11]",
        ),
        (panet_simplified(3, 4), "2:3[0,1] 3:4[1,2]"),
        (
            qufpn(),
            (
                "5:6[3,4] 6:5[2,5] 7:4[1,6] 8:3[0,7] 9:4[1,7,8] 10:5[2,6,9] 11:6[3,5,10] 12:7[4,11] "
                "13:4[1,0] 14:5[2,13] 15:6[3,14] 16:7[4,15] 17:6[3,15,16] 18:5[2,14,17] 19:4[1,13,18] 20:3[0,19] "
                "21:7[12,16] 22:6[11,17] 23:5[10,18] 24:4[9,19] 25:3[8,20]"
            ),
        ),
        (qufpn(4, 5), "2:4[0,1] 3:5[1,2] 4:5[1,0] 5:4[0,4] 6:5[3,4] 7:4[2,5]"),
        (
            fully_connected(),
            (
                "5:7[4] 6:6[3,5] 7:5[2,6] 8:4[1,7] 9:3[0,8] 10:3[0,1,2,3,4,9] 11:4[0,1,2,3,4,8,10] "
                "12:5[0,1,2,3,4,7,11] 13:6[0,1,2,3,4,6,12] 14:7[0,1,2,3,4,5,13]"
            ),
        ),
        (nasfpn(), "5:4[3,1] 6:4[1,5] 7:3[0,6] 8:4[6,7] 9:5[8,7,2] 10:7[9,6,4] 11:6[10,9]"),
        (nasfpn_avg(), "5:4[1,3] 6:4[1,5] 7:3[0,6] 8:4[6,7] 9:5[7,8,2] 10:7[6,9,4] 11:6[9,10]"),
    ],
)
def test_published_node_lists(topology: Topology, nodes: str) -> None:
    assert listed(topology) == nodes


@pytest.mark.parametrize("name", TOPOLOGIES)
@pytest.mark.parametrize("span", [(2, 3), (3, 6), (3, 8), (2, 8), (5, 7), (7, 8)])
def test_every_span_gives_a_valid_cell_with_all_outputs(name: str, span: tuple[int, int]) -> None:
    topology = TOPOLOGIES[name](*ONE_SPAN.get(name, span), "sum")
    assert [topology.level_of(i) for i in topology.outputs] == list(topology.levels)
    assert {node.fusion for node in topology.nodes} - set(GATES) == {"sum"}


@pytest.mark.parametrize("name", ONE_SPAN)
def test_nasfpn_exists_for_its_own_levels_only(name: str) -> None:
    with pytest.raises(TopologyError, match=r"levels 3\.\.7.* but got 3\.\.6; take min_level 3"):
        TOPOLOGIES[name](3, 6)


def test_without_a_fusion_each_network_takes_its_own() -> None:
    fusions = {name: {node.fusion for node in build(3, 7).nodes} for name, build in TOPOLOGIES.items()}
    assert fusions.pop("nasfpn") == {"sum", "gate_max"}
    assert fusions.pop("nasfpn_avg") == {"sum", "gate_avg"}
    assert set.union(*fusions.values()) == {"fast"}


@pytest.mark.parametrize(
    ("name", "nodes", "edges"),
    [
        ("fpn", 5, 9),
        ("fpn_repeated", 10, 18),
        ("panet", 10, 18),
        ("panet_simplified", 8, 16),
        ("bifpn", 8, 19),
        ("qufpn", 21, 48),
        ("nasfpn", 7, 16),
    ],
)
def test_published_counts_of_nodes_and_edges(name: str, nodes: int, edges: int) -> None:
    topology = TOPOLOGIES[name](3, 7)
    assert (len(topology.nodes), sum(len(node.inputs) for node in topology.nodes)) == (nodes, edges)
