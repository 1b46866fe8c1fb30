"""Features of candidates: what is in them, and that equal graphs and ranks have equal ones."""

from __future__ import annotations

import numpy as np
import pytest

from scalesearch.arch.genes import Genes
from scalesearch.arch.networks import bifpn, fpn
from scalesearch.arch.topology import Node, Topology
from scalesearch.cost.budget import from_dict
from scalesearch.space.candidates import SpecUnit
from scalesearch.space.features import features, graph_shape
from scalesearch.space.find_band import find_band
from scalesearch.space.space import Choices, Space, steps

AXES = {
    "backbone": Choices(("efficientnet-w0.25-d0.3",)),
    "topology": Choices(("fpn", "panet", "bifpn")),
    "size": Choices((64, 128)),
    "width": steps(16, 48, 8),
    "repeats": Choices((1,)),
    "head_depth": Choices((1,)),
}


def unit_of(axes: dict[str, Choices], genes: Genes | None = None) -> SpecUnit:
    return SpecUnit(Space(axes=axes, classes=3, genes=genes), from_dict({"macs": {"max": "100M"}}))


def test_each_group_has_a_variance_of_one_and_none_is_constant() -> None:
    band = find_band(unit_of(AXES))
    table = features(band.unit, band.candidates)  # type: ignore[attr-defined]
    for group in range(int(table.groups.max()) + 1):
        assert table.values[:, table.groups == group].var(axis=0).sum() == pytest.approx(1, abs=1e-6)
    # topology, size, width; macs (the band's metric), params, activations; two parts' three shares; paths, edges, nodes
    assert int(table.groups.max()) + 1 == 15


def test_names_are_counted_where_several_axes_share_them() -> None:
    from scalesearch.space.candidates import Candidate
    from scalesearch.space.finite import FiniteUnit

    spec = unit_of(AXES).solve({"topology": "fpn", "size": 64, "width": 16}).members
    words = [("x", "y"), ("y", "x"), ("x", "x"), ("y", "y")]
    given = tuple(Candidate({"a": a, "b": b}, spec, ({"macs": 1.0},)) for a, b in words)
    table = features(FiniteUnit(given, ()), given)
    assert int(table.groups.max()) + 1 == 3
    counts = table.values[:, table.groups == 2]
    assert counts[0] == pytest.approx(counts[1]) and counts[2] == pytest.approx(-counts[3])


def test_genes_are_not_features_but_their_graph_is() -> None:
    axes = {name: axis for name, axis in AXES.items() if name != "topology"} | {
        "min_level": Choices((3,)),
        "max_level": Choices((5,)),
    }
    unit, rng = unit_of(axes, Genes(levels=(3, 5), nodes=5, inputs=2)), np.random.default_rng(0)
    points = [{n: a.values[int(rng.integers(len(a.values)))] for n, a in unit.axes.items()} for _ in range(12)]
    table = features(unit, [unit.solve(point) for point in points])
    assert int(table.groups.max()) + 1 == 14  # as above without the axis topology


def test_candidates_that_are_alike_in_all_that_is_known() -> None:
    one = unit_of(AXES).solve({"topology": "fpn", "size": 64, "width": 16})
    assert features(unit_of(AXES), [one, one]).values.tolist() == [[0.0], [0.0]]


def test_the_shape_of_a_graph() -> None:
    # P3 and P4; node 2 at level 4 reads P4, node 3 at level 3 reads P3 and node 2.
    shape = graph_shape(Topology(3, 4, (Node(4, (1,)), Node(3, (0, 2)))))
    paths = np.array(shape.paths).reshape(7, 7)
    assert paths[1, 1] == 1 / 2 and paths[2, 1] == 1 / 3 and paths[2, 2] == 1 / 2 and paths[1, 2] == 0
    assert paths.sum() == pytest.approx(1 / 2 + 1 / 3 + 1 / 2)
    assert shape.edges == (1, 0, 2) and shape.nodes == (0, 1, 1, 0, 0, 0, 0)


def test_bifpn_reaches_every_level_from_every_level_and_fpn_does_not() -> None:
    assert np.count_nonzero(graph_shape(bifpn()).paths) == 25
    assert np.count_nonzero(graph_shape(fpn()).paths) == 15  # from coarse to fine alone
