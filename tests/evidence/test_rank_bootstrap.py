"""Correlations of bootstrap samples against SciPy's of the samples written out, and the intervals' special cases."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from scalesearch.evidence.rank_bootstrap import better_half, correlation, kendalls, resamples, row_kendalls, spearmans


@pytest.mark.parametrize("seed", range(5))
def test_each_sample_is_as_if_written_out(seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 6, 12).astype(float)
    second = first + rng.integers(0, 4, 12)
    counts = resamples(12, rng, draws=8)
    taus, rhos, half = kendalls(first, second, counts), spearmans(first, second, counts), better_half(second, counts)
    for row in range(9):
        drawn = np.repeat(np.arange(12), counts[row].astype(int))
        assert taus[row] == pytest.approx(kendalltau(first[drawn], second[drawn]).statistic)
        assert rhos[row] == pytest.approx(spearmanr(first[drawn], second[drawn]).statistic)
        kept = np.repeat(second, half[row].astype(int))
        assert len(kept) in range(1, 12)
        assert kept.min() > np.repeat(second, (counts[row] - half[row]).astype(int)).max()


def test_rows_are_those_of_scipy() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 5, (7, 9)).astype(float), rng.standard_normal((7, 9))
    found = [kendalltau(one, other).statistic for one, other in zip(first, second, strict=True)]
    assert row_kendalls(first, second) == pytest.approx(np.array(found), abs=1e-6)
    assert np.isnan(row_kendalls(np.zeros((1, 5)), np.arange(5.0)[None])).all()


def test_the_better_half_of_distinct_values_is_half() -> None:
    assert better_half(np.array([5.0, 1, 4, 2, 3]), np.ones((1, 5))).tolist() == [[1, 0, 1, 0, 1]]
    assert better_half(np.array([1.0, 2, 3, 4]), np.ones((1, 4))).tolist() == [[0, 0, 1, 1]]


def test_agreement_of_few_is_no_certainty() -> None:
    rng = np.random.default_rng(0)
    values = np.arange(6.0)
    found = correlation(values, values**2, resamples(6, rng))
    assert found and found.kendall.value == found.spearman.value == 1.0
    assert found.kendall.low < 0.6 and found.kendall.high == 1.0
    opposite = correlation(values, -values, resamples(6, rng))
    assert opposite and opposite.kendall.value == -1.0 and opposite.kendall.high > -0.6


def test_no_order_or_too_few_have_no_correlation() -> None:
    rng = np.random.default_rng(0)
    assert correlation(np.zeros(8), np.arange(8.0), resamples(8, rng)) is None
    assert correlation(np.arange(4.0), np.arange(4.0), resamples(4, rng)) is None


def test_intervals_hold_the_true_tau() -> None:
    """Of 60 samples of 16 from a normal pair of correlation 0.9, whose tau is 2 / pi arcsin 0.9."""
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(60):
        first = rng.standard_normal(16)
        second = 0.9 * first + np.sqrt(1 - 0.81) * rng.standard_normal(16)
        found = correlation(first, second, resamples(16, rng, draws=300))
        assert found
        inside.append(found.kendall.low <= 2 / np.pi * np.arcsin(0.9) <= found.kendall.high)
    assert np.mean(inside) >= 0.85
