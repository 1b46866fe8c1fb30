"""A surface that is known is found again; rows that cannot tell dimensions apart give none, or wide ranges."""

from __future__ import annotations

import dataclasses
import math
from functools import cache

import numpy as np
import pytest

from scalesearch.evidence.scaling_law import Member
from scalesearch.evidence.scaling_surface import ScalingSurface, fit_surface, varied_dimensions

SLOPE = {"width": 0.25, "repeats": 0.1}
"""The best width and repeats grow with the cost to these powers."""


def true_ap(macs: float, width: float, repeats: float) -> float:
    f = math.log(macs / 1e9)
    away = math.log(width / 64) - SLOPE["width"] * f, math.log(repeats / 3) - SLOPE["repeats"] * f
    return 50 - 12 * (macs / 1e9) ** -0.4 - 5 * away[0] ** 2 - 3 * away[1] ** 2


def rows(count: int = 50, noise: float = 0.3, kinds: int = 1) -> list[Member]:
    """Detectors whose multiply-adds are size^2 width^0.7 repeats^0.3, up to a factor."""
    rng = np.random.default_rng(3)
    found = []
    for i in range(count):
        size, width, repeats = rng.choice([256, 384, 512, 768]), rng.choice([32, 48, 64, 96]), rng.integers(1, 6)
        macs = 1e9 * (size / 512) ** 2 * (width / 64) ** 0.7 * (repeats / 3) ** 0.3
        kind = i % kinds
        ap = true_ap(macs, width, repeats) - 4 * kind + noise * rng.standard_normal()
        shape = {"size": float(size), "width": float(width), "repeats": float(repeats), "head_depth": 3.0}
        found.append(Member(name=str(i), macs=macs, aps=(ap,), dimensions=shape, kind=f"kind {kind}"))
    return found


@cache
def surface(kinds: int = 1) -> ScalingSurface:
    found = fit_surface(rows(kinds=kinds))
    assert found
    return found


@pytest.mark.parametrize("kinds", [1, 2])
def test_a_known_surface_is_found_again(kinds: int) -> None:
    found = surface(kinds)
    assert (found.solved, found.varied, len(found.kinds)) == ("size", ("width", "repeats"), kinds)
    for place, slope in zip((6, 9), SLOPE.values(), strict=True):
        low, high = np.quantile(found.draws[:, place], [0.01, 0.99])
        assert low <= slope <= high
    assert 0.2 < np.median(found.scatter) < 0.5
    macs, width, repeats = np.array([0.5e9, 2e9]), np.array([48.0, 96.0]), np.array([3.0, 3.0])
    predicted = found.predict(macs, {"width": width, "repeats": repeats})
    for i in range(2):
        low, high = np.quantile(predicted[:, i], [0.01, 0.99])
        offset = 0 if kinds == 1 else {"kind 0": 0, "kind 1": -4}[found.kinds[0]]
        assert low <= true_ap(macs[i], width[i], repeats[i]) + offset <= high
        assert high - low < 2.5


def test_beyond_the_rows_the_interval_widens() -> None:
    at = {"width": np.array([64.0, 128.0]), "repeats": np.array([3.0, 4.0])}
    near, far = np.quantile(surface().predict(np.array([1e9, 30e9]), at), [0.1, 0.9], axis=0).T
    assert far[1] - far[0] > 3 * (near[1] - near[0])


def test_the_same_rows_give_the_same_posterior_in_any_order() -> None:
    again = fit_surface(rows()[::-1])
    assert again and np.median(again.draws, 0) == pytest.approx(np.median(surface().draws, 0), abs=0.05)


def test_what_has_no_surface() -> None:
    known = rows()
    assert varied_dimensions(known) == ("size", "width", "repeats")
    assert fit_surface(known[:7]) is None
    one = [dataclasses.replace(row, dimensions={**row.dimensions, "width": 64.0, "repeats": 3.0}) for row in known]
    assert fit_surface(one) is None  # of a size alone the cost is all there is
    assert fit_surface([dataclasses.replace(row, dimensions={}) for row in known]) is None
