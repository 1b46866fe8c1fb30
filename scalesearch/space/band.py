"""`Band`: the interface to the candidates inside the band of a unit, however they are found.

It has three pure functions of their arguments: a random draw, the first unseen candidate of the grid,
and the unseen candidate nearest to a point that a sampler asked for.
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
"""Keys of candidates that must not be proposed again."""


class EmptyBandError(ValueError):
    """No candidate, or no unseen one, is inside the band."""


class Band(Protocol):
    """The candidates inside the band of a unit."""

    @property
    def unit(self) -> Unit:
        """The unit that the candidates are of."""

    def draw(self, seen: Seen, rng: np.random.Generator) -> Candidate:
        """Return a random unseen candidate; EmptyBandError if there is none."""

    def nearest(self, point: Point, seen: Seen, rng: np.random.Generator) -> Candidate:
        """Return the unseen candidate nearest to `point`; EmptyBandError if there is none."""

    def grid(self, seen: Seen) -> Candidate:
        """Return the first unseen candidate in the order of the axes; EmptyBandError if there is none."""

    @property
    def summary(self) -> str:
        """The size of the space and how much of it is inside."""


def enumerable(unit: Unit) -> int:
    """Return the largest number of points up to which `unit`'s space is enumerated; families are priced one by one."""
    return blocks.enumerable(unit.space, unit.budget) if isinstance(unit, SpecUnit) else ONE_BY_ONE
