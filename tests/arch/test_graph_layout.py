"""The layout of a feature network's picture, as facts."""

from __future__ import annotations

import numpy as np
import pytest

from scalesearch.arch.graph_layout import RADIUS, layout
from scalesearch.arch.networks import TOPOLOGIES, bifpn, nasfpn
from scalesearch.arch.topology import Node, Topology


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_nodes_follow_their_order_in_the_row_of_their_level(name: str) -> None:
    topology = TOPOLOGIES[name](3, 7)
    facts = layout(topology)
    inputs, nodes = facts.places[:5], facts.places[5:]
    assert inputs == tuple((0.0, float(level)) for level in range(3, 8))
    assert [y for _, y in nodes] == [node.level for node in topology.nodes]
    across = [x for x, _ in nodes]
    assert across == sorted(set(across))
    assert across[0] > 2 * RADIUS and facts.right > across[-1] + 2 * RADIUS


@pytest.mark.parametrize("name", TOPOLOGIES)
def test_no_arrow_runs_through_a_circle_or_out_of_the_picture(name: str) -> None:
    facts = layout(TOPOLOGIES[name](3, 7))
    assert len(facts.arrows) == sum(len(node.inputs) for node in facts.topology.nodes)
    for arrow in facts.arrows:
        np.testing.assert_allclose(arrow.line[[0, -1]], [facts.places[arrow.source], facts.places[arrow.target]])
        for i, place in enumerate(facts.places):
            if i not in (arrow.source, arrow.target):
                assert np.linalg.norm(arrow.line - np.array(place), axis=1).min() > RADIUS, (
                    arrow.source,
                    arrow.target,
                    i,
                )
        assert arrow.line[:, 1].min() > 2.4 and arrow.line[:, 1].max() < 7.6


def test_arrows_say_what_is_done_to_the_map() -> None:
    facts = layout(bifpn(3, 5))  # 3:4[1,2] 4:3[0,3] 5:4[1,3,4] 6:5[2,5]
    assert [(a.source, a.target, a.kind) for a in facts.arrows] == [
        (1, 3, "same"),
        (2, 3, "up"),
        (0, 4, "same"),
        (3, 4, "up"),
        (1, 5, "same"),
        (3, 5, "same"),
        (4, 5, "down"),
        (2, 6, "same"),
        (5, 6, "down"),
    ]
    assert not any(arrow.gating for arrow in facts.arrows)
    assert [(a.source, a.target) for a in layout(nasfpn()).arrows if a.gating] == [(3, 5), (8, 9), (9, 10), (10, 11)]


def test_only_an_arrow_that_must_is_bent() -> None:
    bent = {}
    for arrow in layout(bifpn()).arrows:
        straight = np.linspace(arrow.line[0], arrow.line[-1], len(arrow.line))
        bent[arrow.source, arrow.target] = bool(np.abs(arrow.line - straight).max() > 1e-9)
    assert [edge for edge, is_bent in bent.items() if is_bent] == [(1, 9), (2, 10), (3, 11)]


def test_a_repeated_input_is_two_arrows() -> None:
    facts = layout(Topology(3, 4, (Node(3, (0, 0)), Node(4, (2, 2)))))
    for one, two in (facts.arrows[:2], facts.arrows[2:]):
        assert np.abs(one.line - two.line).max() > 0.1


def test_what_is_shown_of_an_arrow_starts_and_ends_outside_its_circles() -> None:
    facts = layout(bifpn())
    for arrow in facts.arrows:
        shown = facts.shown(arrow)
        assert np.linalg.norm(shown[-1] - np.array(facts.places[arrow.target])) > RADIUS
        assert np.linalg.norm(shown[0] - np.array(facts.places[arrow.source])) > 0.2
        assert len(shown) > 50
