"""A family for budgets: at each one the integers that a fitted surface expects most of, at their exact cost, with ranges."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scalesearch.arch.backbone import TimmBackbone
from scalesearch.arch.scaling import round_size
from scalesearch.arch.spec import LIMITS, DetectorSpec
from scalesearch.cost.budget import human
from scalesearch.cost.price import price, price_grid
from scalesearch.evidence.power_law import Reals
from scalesearch.evidence.scaling_law import IntervalEstimate, estimate
from scalesearch.evidence.scaling_surface import DIMENSIONS, ScalingSurface

FARTHEST = 30.0
"""A budget is at most this many times above or below the known costs."""
_NEAR = 0.8
"""A design spends at least this share of its budget, where one of the grid does."""
_MOST_VALUES = 40
"""Of a dimension that is tried."""
_STEPS = {"size": 32, "width": 8, "repeats": 1, "head_depth": 1}
"""Steps between the values that are tried; smaller ones where the known values are."""
_GROWTH = {"size": 0.5, "width": 0.5, "repeats": 0.35, "head_depth": 0.35}
"""A budget beyond the known costs is tried with values up to the largest known one times the ratio of the costs to this
power; one between them with known values alone."""


@dataclass(frozen=True)
class FlatRange:
    """The values of a dimension that are not told worse than the chosen one: 80 % intervals of the loss hold 0."""

    low: int
    high: int
    open_low: bool
    open_high: bool
    """Whether it ends where the values that were tried end."""


@dataclass(frozen=True, kw_only=True)
class FamilyMember:
    """The best design of one budget."""

    budget: float
    spec: DetectorSpec
    macs: int
    params: int
    ap: IntervalEstimate
    """AP points of one more detector, its scatter included."""
    flat: Mapping[str, FlatRange]
    """By dimension."""
    times_largest: float
    """Its multiply-adds by those of the dearest known detector."""
    beyond: tuple[str, ...]
    """Dimensions outside their known values."""


@dataclass(frozen=True, kw_only=True)
class ScaledFamily:
    """Members by budget, and how each dimension grows."""

    members: tuple[FamilyMember, ...]
    growth: Mapping[str, IntervalEstimate]
    """By dimension, the factor for each doubling of the multiply-adds; empty for one budget."""


def family_for(
    surface: ScalingSurface, base: DetectorSpec, budgets: Sequence[float], aspect: float | None = None
) -> ScaledFamily:
    """Return the family of `base` (its backbone, network and all other fields) with the surface's dimensions chosen anew.

    Inputs have this aspect (height / width), or that of `base`. Of all designs of the grid inside a budget, each as large in the
    solved dimension as fits. No dimension shrinks from one
    member to the next dearer. Raises ValueError for a budget that no design of the grid fits.
    """
    rng = np.random.default_rng(0)
    names = tuple(name for name in DIMENSIONS if name in (*surface.varied, surface.solved))
    least = dict.fromkeys(names, 0)
    members, best_of_draws = [], []
    for budget in sorted(set(budgets)):
        grid = _DesignGrid(surface, names, base, budget, aspect or base.size[0] / base.size[1])
        designs = grid.inside()
        ap = surface.predict(designs.macs, {name: designs.of(name) for name in surface.varied})
        allowed = np.all([designs.of(name) >= least[name] for name in names], axis=0)
        mean = np.where(allowed, ap.mean(0), -np.inf) if allowed.any() else ap.mean(0)
        chosen = int(mean.argmax())
        spec = grid.spec(designs, chosen)
        least = {name: int(designs.of(name)[chosen]) for name in names}
        noisy = np.clip(ap[:, chosen] + surface.scatter * rng.standard_normal(len(ap)), 0, 100)
        cost = price(spec)
        known = {name: surface.known(name) for name in names}
        members.append(
            FamilyMember(
                budget=budget,
                spec=spec,
                macs=cost.macs,
                params=cost.params,
                ap=estimate(noisy),
                flat={name: _flat(designs.of(name), ap, chosen, grid.values[name]) for name in names},
                times_largest=cost.macs / max(one.macs for one in surface.members),
                beyond=tuple(name for name, (low, high) in known.items() if not low <= least[name] <= high),
            )
        )
        best = ap.argmax(1)
        best_of_draws.append({name: designs.of(name)[best] for name in names})
    return ScaledFamily(members=tuple(members), growth=_growth(members, best_of_draws, names))


@dataclass(frozen=True)
class _FittingDesigns:
    """Designs of the grid inside a budget."""

    columns: Mapping[str, NDArray[np.int64]]
    macs: Reals

    def of(self, name: str) -> Reals:
        return self.columns[name].astype(float)


class _DesignGrid:
    """All designs that are tried for a budget, with their multiply-adds."""

    def __init__(
        self, surface: ScalingSurface, names: Sequence[str], base: DetectorSpec, budget: float, aspect: float
    ) -> None:
        self.names = names
        self._budget = budget
        self._solved = surface.solved
        self._aspect = aspect
        self.values = {name: _tried(surface, name, budget) for name in names}
        if "size" in names:
            shorter = np.minimum(*self._sizes(self.values["size"]))
            self.values["size"] = self.values["size"][shorter >= LIMITS["size"][0]]
        own = [name for name in self.names if name != self._solved]
        self._order = (*own, self._solved)
        shaped = {
            name: self.values[name].reshape([-1 if i == place else 1 for i in range(len(self._order))])
            for place, name in enumerate(self._order)
        }
        sides = shaped.get("size", np.array(max(base.size)))
        heights, widths = self._sizes(sides)
        self._base = _measured(base, list(zip(heights.ravel().tolist(), widths.ravel().tolist(), strict=True)))
        width, repeats, depth = (shaped.get(name, np.array(getattr(base, name))) for name in DIMENSIONS[1:])
        macs = price_grid(self._base, size=(heights, widths), width=width, repeats=repeats, head_depth=depth).macs
        self._macs = np.broadcast_to(macs, [len(self.values[name]) for name in self._order])

    def _sizes(self, sides: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return heights and widths of inputs whose longer sides are `sides`."""
        shorter = np.array([round_size(side * min(self._aspect, 1 / self._aspect)) for side in sides.ravel()])
        shorter = sides if self._aspect == 1 else shorter.reshape(sides.shape)
        return (shorter, sides) if self._aspect < 1 else (sides, shorter)

    def inside(self) -> _FittingDesigns:
        """Return the designs, each as large in the solved dimension as the budget allows."""
        place = (self._macs <= self._budget).sum(-1) - 1
        fits = place >= 0
        if not fits.any():
            raise ValueError(
                f"--budgets has {human(self._budget)}, but the cheapest design that these rows lead to has "
                f"{human(float(self._macs.min()))} multiply-adds; ask for more"
            )
        macs = np.take_along_axis(self._macs, np.maximum(place, 0)[..., None], -1)[..., 0]
        near = fits & (macs >= _NEAR * self._budget)
        chosen = np.argwhere(near if near.any() else fits & (macs == macs[fits].max()))
        columns = {name: self.values[name][chosen[:, i]] for i, name in enumerate(self._order[:-1])}
        columns[self._solved] = self.values[self._solved][place[tuple(chosen.T)]]
        return _FittingDesigns(columns, macs[tuple(chosen.T)].astype(float))

    def spec(self, designs: _FittingDesigns, place: int) -> DetectorSpec:
        """Return one of the designs."""
        base = self._base
        found = {name: int(getattr(base, name)) for name in DIMENSIONS[1:]}
        found |= {name: int(designs.columns[name][place]) for name in self.names}
        height, wide = base.size
        if "size" in self.names:
            height, wide = (int(side) for side in self._sizes(np.array(found["size"])))
        return dataclasses.replace(
            base,
            size=(height, wide),
            width=found["width"],
            head_width=found["width"],
            repeats=found["repeats"],
            head_depth=found["head_depth"],
        )


def _tried(surface: ScalingSurface, name: str, budget: float) -> NDArray[np.int64]:
    """Return the values of a dimension that are tried for a budget."""
    costs = [one.macs for one in surface.members]
    up, down = max(budget / max(costs), 1.0), max(min(costs) / budget, 1.0)
    low, high = surface.known(name)
    step = math.gcd(_STEPS[name], *(int(one.dimensions[name]) for one in surface.members))
    first, last = step * round(low / down ** _GROWTH[name] / step), step * round(high * up ** _GROWTH[name] / step)
    while (last - first) / step >= _MOST_VALUES:
        step *= 2
    least, most = LIMITS[name]
    return np.arange(max(first, least), min(last, most) + 1, step, dtype=np.int64)


def _measured(base: DetectorSpec, sizes: Sequence[tuple[int, int]]) -> DetectorSpec:
    """Return the design with a timm backbone measured at these sizes."""
    if not isinstance(base.backbone, TimmBackbone):
        return base
    from scalesearch.profile.resolve import resolve  # Imported here: it needs torch.

    every = [*dict.fromkeys([*sizes, base.size])]
    return dataclasses.replace(base, backbone=resolve(base.backbone, sizes=every, levels=base.backbone_levels))


def _flat(column: Reals, ap: Reals, chosen: int, tried: NDArray[np.int64]) -> FlatRange:
    values = np.unique(column)
    profile = np.stack([ap[:, column == value].max(1) for value in values], axis=1)  # [draws, values]
    at = int(np.flatnonzero(values == column[chosen])[0])
    loss = profile[:, [at]] - profile
    flat = np.quantile(loss, 0.1, axis=0) <= 0
    low = high = at
    while low and flat[low - 1]:
        low -= 1
    while high < len(values) - 1 and flat[high + 1]:
        high += 1
    return FlatRange(
        int(values[low]), int(values[high]), bool(values[low] == tried[0]), bool(values[high] == tried[-1])
    )


def _growth(
    members: Sequence[FamilyMember], best: Sequence[Mapping[str, Reals]], names: Sequence[str]
) -> dict[str, IntervalEstimate]:
    if len({one.macs for one in members}) < 2:
        return {}
    doublings = np.log2([one.macs for one in members])
    doublings -= doublings.mean()
    found = {}
    for name in names:
        logs = np.log2(np.stack([np.maximum(one[name], 0.5) for one in best]))  # [budgets, draws]
        found[name] = estimate(2 ** (doublings @ logs / (doublings @ doublings)))
    return found
