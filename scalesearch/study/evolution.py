"""Regularized evolution (Real et al. 2019, sec. 3): mutate the best of a random sample of the latest candidates.

A candidate is removed by age, not by score, so that one lucky training does not stay a parent for ever.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from scalesearch.arch.genes import Genes, mutate
from scalesearch.records.pareto import UP, ranks, signed
from scalesearch.space.space import Choices, Point

Observations = Sequence[tuple[Point, Sequence[float]]]
"""Points with the observed objectives, by ordinal."""

_TOURNAMENT = 0.25
"""Size of a tournament as a share of the population, as the paper's 25 of 100."""


def ask(
    axes: Mapping[str, Choices],
    genes: Genes | None,
    objectives: Sequence[str],
    population: int,
    observed: Observations,
    rng: np.random.Generator,
) -> Point:
    """Return a mutant of the best (by front, then AP) of a random quarter of the last `population` of `observed`."""
    alive = observed[-population:]
    points = signed((values for _, values in alive), objectives)
    front = {i: number for number, rank in enumerate(ranks(points)) for i in rank}
    count = min(len(alive), max(2, round(_TOURNAMENT * population)))
    drawn = rng.choice(len(alive), size=count, replace=False)
    first = [k for k, name in enumerate(objectives) if name in UP]
    best = min(drawn, key=lambda i: (front[i], *points[i, first], *points[i]))
    return mutant(alive[best][0], axes, genes, rng)


def mutant(point: Point, axes: Mapping[str, Choices], genes: Genes | None, rng: np.random.Generator) -> Point:
    """Return the point with one change: another value on one axis, or a neighbouring graph; half of the time each if
    there are both.

    The graph is mutated as a whole, since a change of one gene often has no effect: most are idle, or lead to nodes
    that are pruned.
    """
    others = [name for name in axes if not (genes and name in genes.axes)]
    if genes and (not others or rng.random() < 0.5):
        limits = {"fusions": genes.fusions, "nodes": genes.nodes, "inputs": genes.inputs}
        graph = mutate(genes.read(point), random.Random(int(rng.integers(2**53))), **limits)  # type: ignore[arg-type]
        return {**point, **genes.write(graph)}
    name = others[int(rng.integers(len(others)))]
    axis = axes[name]
    if axis.named:
        choices = [value for value in axis.values if value != point[name]]
        return {**point, name: choices[int(rng.integers(len(choices)))]}
    here, reach = axis.ranks[point[name]], max(1, len(axis.values) // 4)
    near = [i for i in range(here - reach, here + reach + 1) if 0 <= i < len(axis.values) and i != here]
    return {**point, name: axis.ordered[near[int(rng.integers(len(near)))]]}
