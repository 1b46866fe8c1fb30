"""Kendall's tau against SciPy, by its special cases and symmetries."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from scalesearch.evidence.ranks import kendall, places


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_that_of_scipy_with_and_without_ties(seed: int) -> None:
    rng = np.random.Generator(np.random.PCG64(seed))
    for first, second in ((rng.normal(size=9), rng.normal(size=9)), rng.integers(0, 4, (2, 12))):
        a, b = first.tolist(), second.tolist()
        assert kendall(a, b).tau == pytest.approx(kendalltau(a, b).statistic)
        assert kendall(b, a) == kendall(a, b)
        assert kendall(a, [-value for value in b]).tau == pytest.approx(-(kendall(a, b).tau or 0))


def test_special_cases() -> None:
    assert kendall([1, 2, 3], [10, 20, 30]) == (1.0, 3, 3)
    assert kendall([1, 2, 3], [3, 2, 1]) == (-1.0, 0, 3)
    assert kendall([1, 1, 1], [1, 2, 3]) == (None, 0, 3)
    assert kendall([0.5], [0.5]) == (None, 0, 0)
    with pytest.raises(ValueError, match="of equal length, but got 1, 2"):
        kendall([1], [1, 2])


def test_places_share_the_better_one() -> None:
    assert places([0.3, 0.5, 0.5, 0.1]) == [3, 1, 1, 4]
