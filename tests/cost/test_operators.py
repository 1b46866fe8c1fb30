"""A spec unrolled: the rows sum to the price, part by part, whatever a spec says."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from scalesearch.arch.networks import ONE_SPAN, TOPOLOGIES
from scalesearch.arch.operator import from_list, to_list
from scalesearch.arch.scaling import PUBLISHED, named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import FUSIONS, Node, Topology
from scalesearch.cost.operators import operators
from scalesearch.cost.price import Breakdown, Cost, breakdown


def summed(spec: DetectorSpec) -> dict[str, Cost]:
    parts = dict.fromkeys(Breakdown.__dataclass_fields__, Cost(0, 0, 0))
    for row in operators(spec):
        parts[row.part] = parts[row.part].plus(Cost(row.params, row.macs, row.activations))
    return parts


def priced(spec: DetectorSpec) -> dict[str, Cost]:
    return {part: getattr(breakdown(spec), part) for part in Breakdown.__dataclass_fields__}


@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_of_the_published_sum_to_their_price(name: str) -> None:
    assert summed(named(name)) == priced(named(name))


@pytest.mark.parametrize("fusion", FUSIONS[:5])
@pytest.mark.parametrize("name", TOPOLOGIES)
def test_rows_of_every_network_sum_to_the_price(name: str, fusion: str) -> None:
    low, high = ONE_SPAN.get(name, (2, 6))
    topology = TOPOLOGIES[name](low, high).fused(fusion)
    spec = dataclasses.replace(named("d0"), topology=topology, size=(100, 131), separable=fusion != "fast")
    assert summed(spec) == priced(spec)


def test_a_list_brings_an_operator_back() -> None:
    for row in operators(named("d0")):
        assert from_list(to_list(row)) == row


def test_what_the_rows_of_d0_are() -> None:
    counts = Counter(row.name for row in operators(named("d0")))
    # 16 blocks, of which 9 have a shortcut; 24 nodes; 5 levels.
    assert counts["mean"] == counts["scale"] == 16
    assert counts["fuse_scalar"] == counts["activation"] == 24
    assert (counts["add"], counts["pad"], counts["product"], counts["concat"]) == (9, 5, 2, 2)
    assert counts["nearest"] == 12 and counts["max_pool"] == 14


def test_a_cell_that_skips_an_input_leaves_the_node_before_unused() -> None:
    # Levels 3..5; nothing reads input 0, so node 3's result is used by no later cell.
    nodes = (Node(3, (1,)), Node(4, (1, 2)), Node(5, (2,)))
    spec = dataclasses.replace(named("d0"), topology=Topology(3, 5, nodes), repeats=2)
    dead = [row for row in operators(spec) if not row.live]
    assert {row.part for row in dead} == {"neck"}
    assert sum(row.name == "fuse_scalar" for row in dead) == 1
    assert all(row.live for row in operators(named("d0")))


def test_a_level_that_nothing_reads_is_pooled_for_nobody() -> None:
    # Levels 3..7 with inputs 0..4; nothing reads input 4, which is pooled of input 3. Deployment drops the pool.
    nodes = (Node(7, (3,)), Node(6, (3, 5)), Node(5, (2, 6)), Node(4, (1, 7)), Node(3, (0, 8)))
    spec = dataclasses.replace(named("d0"), topology=Topology(3, 7, nodes), repeats=1)
    dead = [row for row in operators(spec) if not row.live]
    assert [(row.name, row.target) for row in dead] == [("max_pool", spec.map_size(7))]
