"""Spreads by hand."""

from __future__ import annotations

import math

import pytest

from scalesearch.evidence.noise import Spread


def test_a_spread_by_hand() -> None:
    spread = Spread((0.30, 0.32, 0.34))
    assert spread.mean == pytest.approx(0.32)
    assert spread.sd == pytest.approx(0.02)
    # Student's t with two degrees of freedom at 97.5 % is 4.30265.
    assert spread.interval == pytest.approx(
        (0.32 - 4.30265 * 0.02 / math.sqrt(3), 0.32 + 4.30265 * 0.02 / math.sqrt(3))
    )
    assert spread.range == pytest.approx(0.04)
    assert str(spread) == "0.320 ± 0.020"


def test_one_value_has_no_spread() -> None:
    spread = Spread((0.3,))
    assert (spread.sd, spread.interval, str(spread)) == (None, None, "0.300 (one seed)")
    with pytest.raises(ValueError, match="at least one value"):
        Spread(())
