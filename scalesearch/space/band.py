"""`Band`: the candidates inside the band of a unit, whichever way they are found.

Every form answers the same three questions, each a pure function of its arguments: a uniform draw,
the n-th point of the grid, and the unseen candidate nearest to a point that a sampler asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np

from scalesearch.space import blocks
from scalesearch.space.blocks import ONE_BY_ONE
from scalesearch.space.candidates import Candidate, SpecUnit, Unit
from scalesearch.space.space import Point

Seen = Collection[tuple[str, ...]]
"""Keys of candidates that are not to come again."""


class EmptyBandError(ValueError):
    """No candidate, or no unseen one, is inside the band."""


class Band(Protocol):
    """The candidates inside the band of a unit."""

    @property
    def unit(self) -> Unit:
        """Whose candidates they are."""

    def draw(self, seen: Seen, rng: np.random.Generator) -> Candidate:
        """An unseen candidate at random; EmptyBandError where there is none."""

    def nearest(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate:
        """The unseen candidate nearest to `point`; EmptyBandError where there is none."""

    def grid(self, seen: Seen) -> Candidate:
        """The first unseen candidate in the order of the axes; EmptyBandError where there is none."""

    @property
    def summary(self) -> str:
        """How large the space is and how much of it is inside."""


def enumerable(unit: Unit) -> int:
    """Points up to which the space of `unit` is enumerated; members of a family are priced one by one."""
    return blocks.enumerable(unit.space, unit.budget) if isinstance(unit, SpecUnit) else ONE_BY_ONE
