"""Kendall's tau against counted pairs, by its special cases and symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scalesearch.evidence.ranks import kendall, places


@pytest.mark.parametrize("seed", range(5))
def test_tau_b_is_that_of_counted_pairs_with_and_without_ties(seed: int) -> None:
    rng = np.random.Generator(np.random.PCG64(seed))
    for first, second in ((rng.normal(size=9), rng.normal(size=9)), rng.integers(0, 4, (2, 12))):
        one, other = (
            np.sign(np.subtract.outer(values, values))[np.triu_indices(len(values), 1)] for values in (first, second)
        )
        found = kendall(first.tolist(), second.tolist())
        assert found.tau == pytest.approx((one * other).sum() / math.sqrt((one**2).sum() * (other**2).sum()))
        assert (found.alike, found.pairs) == ((one * other > 0).sum(), len(one))
        mirrored = kendall(second.tolist(), first.tolist())
        assert (mirrored.tau, mirrored.alike) == (pytest.approx(found.tau), found.alike)
        assert kendall(first.tolist(), (-second).tolist()).tau == pytest.approx(-(found.tau or 0))


def test_special_cases() -> None:
    assert kendall([1, 2, 3], [10, 20, 30]) == (1.0, 3, 3)
    assert kendall([1, 2, 3], [3, 2, 1]) == (-1.0, 0, 3)
    assert kendall([1, 1, 1], [1, 2, 3]) == (None, 0, 3)
    assert kendall([0.5], [0.5]) == (None, 0, 0)
    with pytest.raises(ValueError, match="must have equal lengths, but got 1 and 2"):
        kendall([1], [1, 2])


def test_places_share_the_better_one() -> None:
    assert places([0.3, 0.5, 0.5, 0.1]) == [3, 1, 1, 4]
