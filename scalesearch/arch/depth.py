"""Depth of a detector behind its backbone: the lengths of the paths through its feature network and heads."""

from __future__ import annotations

from functools import lru_cache
from statistics import fmean

from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import Topology


@lru_cache(maxsize=4096)
def path_lengths(topology: Topology) -> tuple[int, ...]:
    """Return the nodes on the shortest path of each pair of an input and an output level of one cell that has one."""
    return tuple(far for distances in output_distances(topology) for far in distances.values())


def output_distances(topology: Topology) -> list[dict[int, int]]:
    """Return for each output level, finest first, the nodes on the shortest path from each input that reaches it.

    Inputs are numbered from 0, the finest.
    """
    distances: list[dict[int, int]] = [{i: 0} for i in range(len(topology.levels))]
    for node in topology.nodes:
        reached: dict[int, int] = {}
        for i in node.inputs:
            for source, far in distances[i].items():
                reached[source] = min(reached.get(source, far + 1), far + 1)
        distances.append(reached)
    return [distances[output] for output in topology.outputs]


def effective_depth(spec: DetectorSpec) -> float:
    """Return the depth of feature network and heads: the cube root of the mean cube of the lengths of paths.

    A path has the nodes of all cells, the convolutions of a head and the one that predicts. Its length counts by its cube,
    as in the rule for graphs of Chen et al. (ICLR 2024, arXiv 2402.17440).
    """
    heads = spec.head_depth + 1
    return float(fmean((spec.repeats * length + heads) ** 3 for length in path_lengths(spec.topology)) ** (1 / 3))
