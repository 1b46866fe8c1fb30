"""Ceilings of known noise: none, half, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from scalesearch.evidence.noise import NoiseFloor
from scalesearch.evidence.rank_ceiling import ceilings, shrunk


def ceiling(spread: float, noise: float, runs: int = 1) -> float:
    rng = np.random.default_rng(0)
    values = spread * rng.standard_normal(80) + noise / np.sqrt(runs) * rng.standard_normal(80)
    found, _ = ceilings(values, np.full(80, runs), NoiseFloor(noise, 200, 80), rng)
    assert found and found.low <= found.value <= found.high
    return found.value


def test_what_the_noise_leaves() -> None:
    """Two trainings correlate by spread^2 / (spread^2 + noise^2): tau is 2 / pi arcsin of it."""
    assert ceiling(1.0, 1e-6) == pytest.approx(1.0, abs=0.01)
    assert ceiling(1.0, 1.0) == pytest.approx(2 / np.pi * np.arcsin(0.5), abs=0.08)
    assert ceiling(1.0, 1.0, runs=4) == pytest.approx(2 / np.pi * np.arcsin(1 / np.sqrt(1.25 * 2)), abs=0.08)
    assert abs(ceiling(0.0, 1.0)) < 0.15


def test_shrunk_values_lose_the_variance_of_the_noise_and_keep_order_and_mean() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    found = shrunk(values, 3.0)
    assert found.mean() == pytest.approx(values.mean())
    assert found.var(ddof=1) == pytest.approx(values.var(ddof=1) - 3.0)
    assert (np.diff(found) > 0).all()
    assert np.ptp(shrunk(values, 100.0)) == 0.0
