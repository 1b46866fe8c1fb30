"""A user's graph: what is read, what is refused and where, and the ways to name it."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent, indent

import pytest

from scalesearch.arch.networks import bifpn
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import to_dict
from scalesearch.arch.topology import Node, Topology
from scalesearch.plan.design import read_design, read_network
from scalesearch.plan.graph_file import read_graph_file
from scalesearch.plan.plan import PlanError, changes, read_plan
from scalesearch.space.space import Choices

GRAPH = """\
topology:
  levels: [3, 5]
  nodes:
    - {level: 4, inputs: [1, 2], fusion: fast}
    - [3, [0, 3], sum]
    - [4, [1, 3, 4]]
    - {level: 5, inputs: [2, 5], fusion: gate_max}
"""
NODES = (Node(4, (1, 2), "fast"), Node(3, (0, 3), "sum"), Node(4, (1, 3, 4), "fast"), Node(5, (2, 5), "gate_max"))
READ = Topology(3, 5, NODES)
DEAD = GRAPH.replace("    - [3, [0, 3], sum]", "    - [3, [0]]\n    - [3, [0, 3], sum]")
DEAD = DEAD.replace("[1, 3, 4]", "[1, 3, 5]").replace("[2, 5]", "[2, 6]")
PLAN = """\
space:
  backbone: efficientnet-w0.5-d0.5
  topology: [bifpn, nets/mine.yaml]
  size: 128
  width: [16, 24]
  repeats: 1
  head_depth: 1
band: {macs: {max: 1G}}
"""
DETECTOR = """\
space: {backbone: efficientnet_b0, topology: nets/mine.yaml, size: 128, width: 16, repeats: 1, head_depth: 1}
classes: 3
"""


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def test_nodes_are_read_in_both_forms(tmp_path: Path) -> None:
    graph = read_graph_file(written(tmp_path, "g.yaml", GRAPH))
    assert (graph.topology, graph.notes) == (READ, ())


def test_a_node_that_reaches_no_output_is_dropped_and_reported(tmp_path: Path) -> None:
    graph = read_graph_file(written(tmp_path, "g.yaml", DEAD))
    assert graph.topology == READ
    (note,) = graph.notes
    assert note.endswith(
        "g.yaml:5: dropped node 4 (level 3, inputs [0]): it reaches no output; the nodes after it are numbered anew"
    )


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "[3, [0, 3], sum]",
            "[3, [0, 9], sum]",
            "5: topology.nodes[1] reads 9, which is not there: the inputs are 0..2",
        ),
        ("[3, [0, 3], sum]", "[3, [-1], sum]", "5: topology.nodes[1] reads -1, which is not there"),
        ("[1, 2]", "[1, 5]", "4: topology.nodes[0] closes a cycle (3 reads 5 reads 3); a node reads inputs and nodes"),
        ("[1, 2]", "[1, 3]", "4: topology.nodes[0] closes a cycle (3 reads 3); a node reads"),
        ("[0, 3], sum", "[0, 6], sum", "5: topology.nodes[1] closes a cycle (4 reads 6 reads 5 reads 4)"),
        (
            "[4, [1, 3, 4]]",
            "[4, [6, 3]]\n    - [4, [1, 3]]\n    - [4, [5, 6]]",
            "6: topology.nodes[2] reads node 6, which comes later; put node 6 before node 5 in the list",
        ),
        ("[3, [0, 3], sum]", "[4, [0, 3], sum]", "3: topology.nodes must have a node at each level (its last one"),
        ("[3, [0, 3], sum]", "[6, [0, 3], sum]", "5: topology.nodes[1][0] must be one of the levels 3..5, but got 6"),
        ("[3, [0, 3], sum]", "[3, [], sum]", "5: topology.nodes[1][1] must be a list of at least one value"),
        ("[3, [0, 3], sum]", "[3, 0, sum]", "5: topology.nodes[1][1] must be a list, as [a, b], but got '0'"),
        ("[3, [0, 3], sum]", "[3, [0, x], sum]", "5: topology.nodes[1][1][1] must be a whole number, but got 'x'"),
        ("[3, [0, 3], sum]", "[3]", "5: topology.nodes[1] must be [level, [inputs], fusion], the fusion optional"),
        ("[3, [0, 3], sum]", "[3, [0, 3], summ]", "5: topology.nodes[1][2] must be one of sum, softmax,"),
        ("fusion: fast", "fusion: mean", "4: topology.nodes[0].fusion must be one of sum, softmax,"),
        ("fusion: fast", "fuse: fast", "4: unknown key 'topology.nodes[0].fuse'; did you mean 'fusion'?"),
        ("[2, 5], fusion: gate_max", "[5], fusion: gate_max", "7: topology.nodes[3] must have two inputs at least for"),
        ("[3, 5]", "[5, 3]", "2: topology.levels must be [finest, coarsest] with 2 <= finest < coarsest <= 8"),
        ("[3, 5]", "[3, 4, 5]", "2: topology.levels must be [finest, coarsest]"),
        ("  levels: [3, 5]\n", "", "1: the key topology.levels is missing; add it"),
        ("  levels: [3, 5]\n", "  levels: [3, 5]\n  nods: 1\n", "3: unknown key 'topology.nods'"),
        ("topology:", "topologie:", "1: unknown key 'topologie'; did you mean 'topology'?"),
    ],
)
def test_each_fault_has_its_own_message_at_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert GRAPH.count(old) == 1
    with pytest.raises(PlanError) as caught:
        read_graph_file(written(tmp_path, "g.yaml", GRAPH.replace(old, new)))
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(f"g.yaml:{said}")


def test_a_plans_axis_names_a_file_beside_it_and_the_resolved_plan_needs_no_file(tmp_path: Path) -> None:
    written(tmp_path, "nets/mine.yaml", GRAPH)
    plan = read_plan(written(tmp_path, "p.yaml", PLAN))
    assert plan.axes["topology"] == Choices(("bifpn", "nets/mine.yaml"))
    space = plan.space(classes=3, anchors=None if plan.anchors != "auto" else named("d0").anchors)
    assert space.spec({"topology": "nets/mine.yaml", "width": 16}).topology == READ
    assert space.spec({"topology": "bifpn", "width": 16}).topology == bifpn()
    assert space.frames() == [((128, 128), 3, 7), ((128, 128), 3, 5)]
    elsewhere = written(tmp_path, "study/plan.yaml", plan.to_yaml())
    again = read_plan(elsewhere)
    assert again == plan
    assert json.loads(json.dumps(again.resolved())) == plan.resolved()
    written(tmp_path, "nets/mine.yaml", GRAPH.replace("[1, 3, 4]", "[1, 4]"))
    (change,) = changes(again, read_plan(tmp_path / "p.yaml"))
    assert change.startswith("graphs.nets/mine.yaml.nodes (")


def test_a_plan_may_hold_its_graphs_and_tells_what_it_dropped(tmp_path: Path) -> None:
    text = PLAN.replace("nets/mine.yaml", "mine") + "baselines: {b: {topology: mine, width: 8}}\ngraphs:\n"
    plan = read_plan(written(tmp_path, "p.yaml", text + indent(DEAD.replace("topology", "mine"), "  ")))
    assert plan.graphs == {"mine": READ}
    assert "p.yaml:15: dropped node 4 (level 3, inputs [0])" in plan.notes[0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("nets/mine.yaml", "nets/other.yaml", "p.yaml:3: space.topology[1] names a file of a graph, but there is no"),
        ("nets/mine.yaml", "bifpm", "p.yaml:3: space.topology[1] must be one of fpn,"),
        (
            "  size: 128",
            "  size: 128\n  max_level: 6",
            "p.yaml:3: space.topology: the topology nets/mine.yaml is a graph of",
        ),
        ("nets/mine.yaml]", "nasfpn]\n  max_level: 6", "p.yaml:3: space.topology: the topology nasfpn exists only for"),
        ("band:", "graphs: {bifpn: {}}\nband:", "p.yaml:8: graphs.bifpn must have a name of its own"),
        (
            "  size: 128",
            "  size: 128\n  fusion: [own, gate_avg, owned]",
            "p.yaml:5: space.fusion[2] must be one of own, sum",
        ),
    ],
)
def test_a_bad_name_in_a_plan_is_refused_at_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    written(tmp_path, "nets/mine.yaml", GRAPH)
    with pytest.raises(PlanError) as caught:
        read_plan(written(tmp_path, "p.yaml", PLAN.replace(old, new)))
    assert str(caught.value).replace(f"{tmp_path}/", "").startswith(said)


def test_a_fault_in_a_plans_file_is_reported_with_that_file(tmp_path: Path) -> None:
    written(tmp_path, "nets/mine.yaml", GRAPH.replace("[1, 2]", "[1, 12]"))
    with pytest.raises(PlanError, match=r"nets/mine\.yaml:4: topology\.nodes\[0\] reads 12"):
        read_plan(written(tmp_path, "p.yaml", PLAN))


def test_a_fusion_reaches_every_node_but_the_gates(tmp_path: Path) -> None:
    written(tmp_path, "nets/mine.yaml", GRAPH)
    plan = read_plan(written(tmp_path, "p.yaml", PLAN + "detector: {}\n"), ["space.fusion=[own, softmax]"])
    space = plan.space(classes=3, anchors=named("d0").anchors)
    found = space.spec({"topology": "nets/mine.yaml", "width": 16, "fusion": "softmax"}).topology
    assert [node.fusion for node in found.nodes] == ["softmax", "softmax", "softmax", "gate_max"]
    assert space.spec({"topology": "nets/mine.yaml", "width": 16, "fusion": "own"}).topology == READ


def test_a_detector_file_has_a_graph_by_path_or_inside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path, "nets/mine.yaml", GRAPH)
    by_path = read_design(str(written(tmp_path, "d.yaml", DETECTOR)))
    inside = DETECTOR.replace("topology: nets/mine.yaml, ", "") + GRAPH
    assert read_design(str(written(tmp_path, "e.yaml", inside))) == by_path
    assert (by_path.topology, caplog.messages) == (READ, [])
    with pytest.raises(PlanError, match="topology is given twice, here and in space"):
        read_design(str(written(tmp_path, "f.yaml", DETECTOR + GRAPH)))


def test_a_feature_network_is_named_or_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_network("bifpn", "2..6", "sum") == bifpn(2, 6, "sum")
    assert read_network("d6") == bifpn(fusion="sum")
    assert read_network(str(written(tmp_path, "g.yaml", GRAPH))) == READ
    row = written(tmp_path, "row.json", json.dumps({"spec": to_dict(named("lite0"))}))
    assert read_network(str(row)) == bifpn(fusion="sum")
    assert read_network(str(written(tmp_path, "dead.yaml", DEAD))) == READ
    assert len(caplog.messages) == 1


@pytest.mark.parametrize(
    ("design", "levels", "fusion", "message"),
    [
        ("bifpm", None, None, "a feature network is one of fpn, .* but 'bifpm' is none of them"),
        ("d0", "3..6", None, "levels are chosen for fpn, .* but 'd0' has its own"),
        ("bifpn", "3-7-9", None, "levels are FINEST..COARSEST, as 3..7, but got '3-7-9'"),
        ("bifpn", "1..4", None, "levels must satisfy"),
        ("bifpn", None, "mean", "a fusion is one of sum, .* but got 'mean'"),
    ],
)
def test_what_is_no_feature_network_is_refused(
    design: str, levels: str | None, fusion: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_network(design, levels, fusion)


def test_the_graph_in_the_docs_is_read(tmp_path: Path) -> None:
    docs = (Path(__file__).parents[2] / "docs" / "feature_networks.md").read_text()
    text = dedent("    topology:" + docs.split("    topology:")[1].split("\n\n")[0])
    graph = read_graph_file(written(tmp_path, "docs.yaml", text))
    assert graph.topology == Topology(3, 7, tuple(
        Node(node.level, node.inputs, "softmax" if i == 2 else "fast") for i, node in enumerate(bifpn().nodes)
    ))  # fmt: skip


def test_a_graph_has_a_bound_and_the_bound_is_said(tmp_path: Path) -> None:
    nodes = [[3 + i % 3, [i % 3, i], "fast"] for i in range(2_000)]
    (tmp_path / "large.yaml").write_text(json.dumps({"topology": {"levels": [3, 5], "nodes": nodes}}))
    with pytest.raises(PlanError, match=r"nodes is too large: .* at most 64 nodes and 512 edges, but got 2000 and 0"):
        read_graph_file(tmp_path / "large.yaml")
    wide = [[3, [0, 1, 2] * 200], [4, [1, 3]], [5, [2, 4]]]
    (tmp_path / "wide.yaml").write_text(json.dumps({"topology": {"levels": [3, 5], "nodes": wide}}))
    with pytest.raises(PlanError, match="at most 64 nodes and 512 edges, but got 3 and 604"):
        read_graph_file(tmp_path / "wide.yaml")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"spec": ' * 100_000], ids=["lists", "mappings"])
def test_a_design_nested_deeply_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(PlanError, match=r"d\.json.*levels deep") as caught:
        read_design(str(tmp_path / "d.json"))
    assert len(str(caught.value)) < 300


def test_a_plan_is_of_bounded_length(tmp_path: Path) -> None:
    (tmp_path / "long.yaml").write_text("#" * 2**21)
    with pytest.raises(PlanError, match="a plan has at most 1 MiB of text"):
        read_plan(tmp_path / "long.yaml")
