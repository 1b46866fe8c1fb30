"""Pictures of feature networks, and the verb that draws them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from scalesearch.arch.networks import bifpn, nasfpn
from scalesearch.cli import cli
from scalesearch.report.graph import draw_graph


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
