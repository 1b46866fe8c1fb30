"""Pictures of feature networks, and the verb that draws them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from matplotlib.image import imread

from scalesearch.arch.networks import bifpn, nasfpn
from scalesearch.arch.topology import Node, Topology
from scalesearch.cli import cli
from scalesearch.report.graph_plot import draw_graph


def test_a_picture_names_levels_nodes_fusions_and_edges(tmp_path: Path) -> None:
    draw_graph(nasfpn(), tmp_path / "a.svg", "nasfpn")
    text = (tmp_path / "a.svg").read_text()
    for word in ("nasfpn: levels 3..7, 7 nodes, 16 edges", ">P7<", ">1/128<", ">11<", ">gate max<", ">sum<"):
        assert word in text
    for word in ("up-sampled, to a finer level", "down-sampled, to a coarser level", "same level", "gates the other"):
        assert word in text


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        draw_graph(bifpn(3, 5), tmp_path / f"{name}.svg", "bifpn")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_a_small_graph_leaves_its_title_and_its_legend_room(tmp_path: Path) -> None:
    graph = Topology(3, 4, (Node(4, (0, 1), "gate_max"), Node(3, (0, 2)), Node(3, (3,))))
    for name in ("x", "a_name_that_is_longer_than_a_graph_of_two_levels_is_wide"):
        draw_graph(graph, tmp_path / "a.png", name)
        picture = imread(tmp_path / "a.png")[..., :3]
        strips = picture[:60], picture[-60:]
        assert all((strip < 1).any() and (strip[:, -20:] == 1).all() for strip in strips)


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.svg, \.png or \.pdf, but got 'a\.jpeg'"):
        draw_graph(bifpn(3, 5), tmp_path / "a.jpeg", "bifpn")


def test_the_verb_draws_a_named_network_and_a_users_graph_and_tells_what_it_dropped(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        cli, ["draw", "fpn", "-o", str(tmp_path / "fpn.png"), "--levels", "4..6", "--fusion", "sum"]
    )
    assert run.exit_code == 0, run.output
    assert (tmp_path / "fpn.png").read_bytes().startswith(b"\x89PNG")
    graph = tmp_path / "mine.yaml"
    graph.write_text("topology: {levels: [3, 4], nodes: [[3, [0]], [3, [1]], [4, [1, 3]]]}\n")
    run = CliRunner().invoke(cli, ["draw", str(graph), "-o", str(tmp_path / "mine.svg")])
    assert run.exit_code == 0, run.output
    assert "mine.yaml:1: dropped node 2 (level 3, inputs [0])" in run.stderr
    assert "mine: levels 3..4, 2 nodes, 3 edges" in (tmp_path / "mine.svg").read_text()
