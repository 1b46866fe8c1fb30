"""A seeded sample of benchmarks/check_graphs.py, whose whole run is committed in results/checks/graphs.txt."""

from __future__ import annotations

from types import ModuleType

import pytest

from tests.benchmarks.scripts import script


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    return script("check_graphs")


def test_random_genes_decode(checks: ModuleType) -> None:
    assert checks.check_decoding(200).startswith("200 random gene vectors, 200 valid topologies of ")


def test_relabelled_graphs_keep_their_id(checks: ModuleType) -> None:
    assert checks.check_relabelling(50).endswith("50 kept their id")


def test_small_graphs_share_an_id_exactly_when_isomorphic(checks: ModuleType) -> None:
    lines = checks.check_pairs(0.01, checks.SMALL[:3])
    assert len(lines) == 3
    assert all("id and isomorphism agree in all" in line for line in lines)


def test_the_independent_test_tells_graphs_apart_and_finds_twins_again(checks: ModuleType) -> None:
    graphs = list(checks.small_graphs(2, 2, ("sum",), 4))
    forms = {checks.by_permutations(graph) for graph in graphs}
    # Two levels, one node each, in either order: [0 | 1 | 0,0 | 0,1 | 1,1] for the first, 9 choices for the second.
    assert len(graphs) == 2 * 5 * 9
    # Where the second does not read the first, both orders are one graph: 5 x 5 pairs were counted twice.
    assert len(forms) == 90 - 25


def test_prices_are_the_counts_of_built_modules(checks: ModuleType) -> None:
    assert checks.check_prices(20).startswith("20 detectors of random graphs")
