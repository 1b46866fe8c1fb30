"""Genes: every vector in range is a graph; mutations: every one is a valid neighbour."""

from __future__ import annotations

import random

import pytest

from scalesearch.arch.canonical import canonical
from scalesearch.arch.genes import Genes, mutate
from scalesearch.arch.networks import TOPOLOGIES, bifpn, nasfpn, qufpn
from scalesearch.arch.topology import FUSIONS, GATES, Node, Topology, TopologyError

KINDS = [
    Genes(),
    Genes(levels=(2, 3), nodes=2, inputs=1, fusions=("sum",)),
    Genes(levels=(2, 8), nodes=20, inputs=4, fusions=FUSIONS),
    Genes(levels=(3, 5), nodes=6, fusions=GATES),
]


def drawn(genes: Genes, rng: random.Random) -> dict[str, int]:
    return {name: rng.randrange(choices) for name, choices in genes.axes.items()}


@pytest.mark.parametrize("genes", KINDS, ids=range(len(KINDS)))
def test_any_vector_in_range_is_a_graph_inside_the_limits(genes: Genes) -> None:
    rng = random.Random(0)
    vectors = [drawn(genes, rng) for _ in range(200)]
    vectors += [dict.fromkeys(genes.axes, 0), {name: choices - 1 for name, choices in genes.axes.items()}]
    for values in vectors:
        topology = genes.decode(values)
        assert (topology.min_level, topology.max_level) == genes.levels
        assert len(topology.nodes) <= genes.nodes
        assert max(len(node.inputs) for node in topology.nodes) <= genes.inputs
        assert {node.fusion for node in topology.nodes} <= {*genes.fusions, *({"sum"} if genes is KINDS[3] else set())}


def test_the_genes_of_a_graph_by_hand() -> None:
    genes = Genes(levels=(3, 4), nodes=3, inputs=2, fusions=("sum", "fast"))
    assert list(genes.axes) == [
        f"node{k}.{gene}" for k in range(3) for gene in ("level", "arity", "input0", "input1", "fusion")
    ]
    assert [genes.axes[f"node{k}.input1"] for k in range(3)] == [2, 3, 4]
    values = [1, 1, 0, 1, 0, 0, 0, 2, 0, 1, 1, 1, 3, 1, 0]
    topology = genes.decode(dict(zip(genes.axes, values, strict=True)))
    assert topology == Topology(3, 4, (Node(4, (0, 1), "sum"), Node(3, (2,), "fast"), Node(4, (3, 1), "sum")))


def test_the_last_slots_give_each_bare_level_its_output() -> None:
    genes = Genes(levels=(3, 5), nodes=3, inputs=1)
    values = dict.fromkeys(genes.axes, 0)
    assert [node.level for node in genes.decode(values).nodes] == [3, 4, 5]
    assert [node.level for node in genes.decode({**values, "node0.level": 2, "node1.level": 1}).nodes] == [5, 4, 3]


@pytest.mark.parametrize("spare", [0, 2])
@pytest.mark.parametrize("topology", [bifpn(), nasfpn(), qufpn(3, 6), bifpn(2, 8)])
def test_every_graph_has_genes_with_slots_to_spare(topology: Topology, spare: int) -> None:
    levels = (topology.min_level, topology.max_level)
    genes = Genes(levels=levels, nodes=len(topology.nodes) + spare, inputs=3, fusions=FUSIONS)
    point = genes.write(topology)
    assert set(point) == set(genes.axes) and genes.read(point) == topology
    assert genes.read({**point, "width": 64}) == topology


@pytest.mark.parametrize("genes", KINDS, ids=range(len(KINDS)))
def test_what_was_read_is_written_and_read_again(genes: Genes) -> None:
    rng = random.Random(1)
    for _ in range(100):
        topology = genes.decode(drawn(genes, rng))
        assert genes.read(genes.write(topology)) == topology


def test_choices_are_named_for_people() -> None:
    genes = Genes(levels=(3, 4), nodes=2, inputs=2, fusions=("sum", "fast"))
    assert genes.choices["node1.level"] == (3, 4)
    assert genes.choices["node1.arity"] == (1, 2)
    assert genes.choices["node1.input0"] == ("P3", "P4", "node0")
    assert genes.choices["node1.fusion"] == ("sum", "fast")


def test_what_has_no_genes_is_refused() -> None:
    small = Genes(levels=(3, 7), nodes=8, inputs=2, fusions=("fast",))
    for topology in (bifpn(2, 7), qufpn(), bifpn(3, 7, "sum"), nasfpn()):
        with pytest.raises(TopologyError, match="cannot encode the graph"):
            small.write(topology)
    with pytest.raises(ValueError, match=r"the gene node0\.level is one of 3, 4, 5, 6, 7, but got None"):
        small.read({})


def test_random_vectors_give_different_graphs_of_many_sizes() -> None:
    genes, rng = Genes(), random.Random(0)
    graphs = [genes.decode(drawn(genes, rng)) for _ in range(300)]
    assert len({canonical(graph) for graph in graphs}) > 290
    assert {len(graph.nodes) for graph in graphs} == {5, 6, 7, 8, 9, 10}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"node0.level": 5}, r"0 \.\. its choices - 1, but node0\.level is 5 of 5"),
        ({"node0.level": -1}, r"but node0\.level is -1 of 5"),
        ({"node99.level": 0}, r"but node99\.level is 0 of no such gene"),
    ],
)
def test_genes_out_of_range_are_refused(change: dict[str, int], message: str) -> None:
    genes = Genes()
    with pytest.raises(ValueError, match=message):
        genes.decode({**dict.fromkeys(genes.axes, 0), **change})
    with pytest.raises(ValueError, match=r"node0\.level is missing of 5"):
        genes.decode({})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"nodes": 4}, "a node for each of the 5 levels"),
        ({"inputs": 0}, "at least one input"),
        ({"levels": (1, 4)}, "levels must satisfy"),
        ({"fusions": ("mean",)}, "fusions must be different ones of"),
        ({"fusions": ()}, "fusions must be different ones of"),
    ],
)
def test_genes_of_no_graph_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(TopologyError, match=message):
        Genes(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_mutations_are_other_graphs_inside_the_limits(name: str) -> None:
    rng = random.Random(name)
    topology = start = TOPOLOGIES[name](3, 7)
    sizes = set()
    for _ in range(100):
        mutant = mutate(topology, rng, fusions=("sum", "fast", "gate_avg"), nodes=14, inputs=3)
        assert canonical(mutant) != canonical(topology)
        assert mutant.levels == start.levels
        assert len(mutant.nodes) <= max(14, len(topology.nodes))
        sizes.add(len(mutant.nodes))
        topology = mutant
    assert len(sizes) > 3


def test_a_mutation_is_a_function_of_its_generator() -> None:
    one, two = (mutate(bifpn(), random.Random(7)) for _ in range(2))
    assert one == two
    assert len({mutate(bifpn(), random.Random(seed)) for seed in range(50)}) > 40
