"""Path lengths and depths by hand."""

from __future__ import annotations

import dataclasses

import pytest

from scalesearch.arch.depth import effective_depth, path_lengths
from scalesearch.arch.networks import bifpn, fpn
from scalesearch.arch.topology import Node, Topology
from tests.detectors import TINY


def test_paths_of_a_chain_by_hand() -> None:
    """Inputs 3, 4, 5 are 0, 1, 2; nodes 3: level 5 of 2, 4: level 4 of 1 and 3, 5: level 3 of 0 and 4."""
    chain = Topology(3, 5, (Node(5, (2,)), Node(4, (1, 3)), Node(3, (0, 4))))
    assert sorted(path_lengths(chain)) == sorted([1, 1, 2, 1, 2, 3])
    assert len(path_lengths(fpn(3, 5))) == 6 and len(path_lengths(bifpn(3, 5))) == 9


def test_depth_counts_cells_and_heads() -> None:
    chain = Topology(3, 5, (Node(5, (2,)), Node(4, (1, 3)), Node(3, (0, 4))))
    spec = dataclasses.replace(TINY, topology=chain, repeats=2, head_depth=3)
    lengths = [2 * length + 4 for length in (1, 1, 2, 1, 2, 3)]
    assert effective_depth(spec) == pytest.approx((sum(n**3 for n in lengths) / 6) ** (1 / 3))
    assert effective_depth(dataclasses.replace(spec, repeats=3)) > effective_depth(spec)
