"""`Band`: the candidates inside the band of a unit, whichever way they are found.

Every form answers the same three questions, each a pure function of its arguments: a uniform draw,
the n-th point of the grid, and the unseen candidate nearest to a point that a sampler asked for.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

import numpy as np

from scalesearch.space.blocks import by_array
from scalesearch.space.candidates import Candidate, SpecUnit, Unit
from scalesearch.space.space import Point

ENUMERABLE = 5_000_000
"""Points up to which a space that is priced over arrays is priced whole: some ten seconds."""

ONE_BY_ONE = 50_000
"""Points up to which any other is, and candidates that are held as such: about 7 s at 7,000 a second."""

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
    """Points up to which the space of `unit` is enumerated."""
    arrays = isinstance(unit, SpecUnit) and by_array(unit.space, unit.budget)
    return ENUMERABLE if arrays else min(ENUMERABLE, ONE_BY_ONE)
