"""The start of a search of free graphs: published networks and their mutants, moved into the band.

Random graphs are mostly poor: in results/free_graphs those had a mean AP of 0.087, BiFPN 0.257. What tells them apart are
short paths from the fine levels to their own outputs, which published networks have and a few mutations keep.
"""

from __future__ import annotations

import random

import numpy as np

from scalesearch.arch.genes import Genes, mutate
from scalesearch.arch.networks import TOPOLOGIES
from scalesearch.arch.topology import GATES, Topology, TopologyError
from scalesearch.space.band import Band, Seen
from scalesearch.space.candidates import Candidate

_MUTATIONS = 3
"""The most mutations of a published network; none at all is as likely as any other number."""


def draw(band: Band, genes: Genes, seen: Seen, rng: np.random.Generator) -> Candidate:
    """Return an unseen candidate of the band, its graph a published network or a mutant of one.

    It is a random one where the genes can express no published network. Raises EmptyBandError as `band.draw`.
    """
    known = published(genes)
    if not known:
        return band.draw(seen, rng)
    graph = known[int(rng.integers(len(known)))]
    source = random.Random(int(rng.integers(2**53)))
    for _ in range(int(rng.integers(_MUTATIONS + 1))):
        graph = mutate(graph, source, fusions=genes.fusions, nodes=genes.nodes, inputs=genes.inputs)
    axes = band.unit.axes.items()
    point = {name: axis.values[int(rng.integers(len(axis.values)))] for name, axis in axes if name not in genes.axes}
    return band.nearest({**point, **genes.write(graph)}, seen, rng)


def published(genes: Genes) -> list[Topology]:
    """Return the published networks that the genes can express, in their first fusion that is no gate."""
    fusion = next((name for name in genes.fusions if name not in GATES), "sum")
    found = []
    for network in TOPOLOGIES.values():
        try:
            graph = network(*genes.levels).fused(fusion)
            genes.write(graph)
        except TopologyError:
            continue
        found.append(graph)
    return found
