"""Description of a plan's space before training: its size, the share inside the band, and some candidates."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np

from scalesearch.app.search_study import unit_of
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.data.sets import open_data
from scalesearch.data.split import DataError
from scalesearch.plan.design import UNFITTED
from scalesearch.plan.plan import Plan
from scalesearch.space.band import EmptyBandError
from scalesearch.space.candidates import Candidate, FamilyUnit, SpecUnit
from scalesearch.space.feasible import Share, draws, nearest_miss, share
from scalesearch.space.find_band import find_band
from scalesearch.space.space import shown

logger = logging.getLogger(__name__)

CLASSES = 90
"""Number of classes where the data set is missing: COCO's, as in the published models."""
_DRAWS = 8
"""Most rounds of draws to find the requested number of distinct points."""


@dataclass(frozen=True, kw_only=True)
class SpaceSummary:
    """The output of `scalesearch space`."""

    bands: tuple[str, ...]
    held: str
    """Share of the space inside the band, in words."""
    share: Share | None
    """The same in numbers; None for a family."""
    candidates: tuple[Candidate, ...]
    """Some distinct candidates from inside."""
    nearest: str = ""
    """The nearest miss, where nothing is inside."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON data."""
        numbers: dict[str, Any] = {}
        if self.share:
            low, high = self.share.interval
            numbers = {"points": self.share.points, "priced": self.share.priced, "held": self.share.held}
            numbers |= {"share": self.share.value, "interval": [low, high], "exact": self.share.exact}
        members = [
            [{**_dimensions(spec), **metrics} for spec, metrics in zip(one.members, one.costs, strict=True)]
            for one in self.candidates
        ]
        return {
            "bands": list(self.bands),
            "summary": self.held,
            **numbers,
            "nearest_miss": self.nearest or None,
            "candidates": [
                {"point": one.point, "members": found} for one, found in zip(self.candidates, members, strict=True)
            ],
        }


def describe_space(plan: Plan, *, classes: int | None = None, count: int = 5, seed: int = 0) -> SpaceSummary:
    """Price the space of `plan` for `classes` (the data set's by default) and draw `count` candidates from inside.

    Only the number of anchors at a position matters: that of the plan, or the published 9 where the plan says auto.
    Raises ValueError as the search would.
    """
    anchors = Anchors() if plan.anchors == "auto" else plan.anchors
    if plan.anchors == "auto":
        logger.info(UNFITTED)
    unit = unit_of(plan, classes or _classes(plan), anchors)
    bands, rng = tuple(str(budget) for budget in unit.budgets), np.random.default_rng(seed)
    if isinstance(unit, FamilyUnit):
        return _family(unit, bands, rng, count)
    assert isinstance(unit, SpecUnit), "a plan's unit is a spec or a family"
    found = share(unit.space, unit.budget, unit.meter, rng)
    nearest = ""
    if not found.held:
        miss = nearest_miss(unit.space, unit.budget, unit.meter)
        nearest = f"{unit.budget.miss(miss.metrics) or 'latency alone'}, at {shown(miss.point) or 'the only point'}"
        if found.exact:
            return SpaceSummary(bands=bands, held=str(found), share=found, candidates=(), nearest=nearest)
    try:
        drawn = _distinct(unit, rng, count)
    except ValueError as none:
        nearest = "; ".join(filter(None, (str(none), nearest)))
        return SpaceSummary(bands=bands, held=str(found), share=found, candidates=(), nearest=nearest)
    return SpaceSummary(bands=bands, held=str(found), share=found, candidates=drawn)


def _distinct(unit: SpecUnit, rng: np.random.Generator, count: int) -> tuple[Candidate, ...]:
    """Return up to `count` distinct uniform draws; fewer where the band hardly has so many."""
    found: dict[tuple[str, ...], Candidate] = {}
    for _ in range(_DRAWS):
        for one in draws(unit.space, unit.budget, rng, count, unit.meter):
            candidate = Candidate(one.point, (one.spec,), (one.metrics,))
            found.setdefault(candidate.key, candidate)
        if len(found) >= count:
            break
    return tuple(found.values())[:count]


def _family(unit: FamilyUnit, bands: tuple[str, ...], rng: np.random.Generator, count: int) -> SpaceSummary:
    try:
        band = find_band(unit)
    except EmptyBandError as empty:
        return SpaceSummary(bands=bands, held="nothing", share=None, candidates=(), nearest=str(empty))
    drawn: dict[tuple[str, ...], Candidate] = {}
    while len(drawn) < count:
        try:
            candidate = band.draw(drawn, rng)
        except EmptyBandError:
            break
        drawn[candidate.key] = candidate
    return SpaceSummary(bands=bands, held=band.summary, share=None, candidates=tuple(drawn.values()))


def _classes(plan: Plan) -> int:
    source = plan.data
    if source.source == "digits":
        return 10
    try:
        data = open_data(source.source, train=source.train, val=source.val, select=source.select, seed=source.seed)
    except (DataError, OSError) as error:
        logger.warning(
            f"classes: {CLASSES} are assumed, since the data cannot be opened ({error}); give another number by --classes"
        )
        return CLASSES
    return len(data.train.categories)


def _dimensions(spec: DetectorSpec) -> dict[str, Any]:
    names = ("size", "width", "repeats", "head_depth")
    return {"spec_id": spec.id, "backbone": spec.backbone.name, **{name: getattr(spec, name) for name in names}}
