"""Spreads by hand."""

from __future__ import annotations

import math

import pytest

from scalesearch.evidence.noise import NoiseFloor, Spread, noise_floor, unsteady


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


def test_a_noise_floor_by_hand() -> None:
    floor = noise_floor([(0.30, 0.32, 0.34), (0.50, 0.54), (0.9,)])
    assert floor
    assert floor.sd == pytest.approx(math.sqrt((0.0008 + 0.0008) / 3))
    assert (floor.freedom, floor.items) == (3, 2)
    # Chi-square with three degrees of freedom: 9.34840 at 97.5 %, 0.215795 at 2.5 %.
    assert floor.interval == pytest.approx(
        (floor.sd * math.sqrt(3 / 9.34840), floor.sd * math.sqrt(3 / 0.215795)), rel=1e-5
    )
    # Student's t with three: 3.182446 at 97.5 %, 0.978472 at 80 %.
    assert floor.significant(2, 4) == pytest.approx(3.182446 * floor.sd * math.sqrt(3 / 4), rel=1e-5)
    assert floor.tellable(2) == pytest.approx((3.182446 + 0.978472) * floor.sd, rel=1e-5)
    assert noise_floor([(0.3,), (0.4,)]) is None


def test_the_seeds_for_a_difference_are_the_fewest_that_tell_it() -> None:
    floor = NoiseFloor(0.01, 20, 10)
    for difference in (0.1, 0.03, 0.01, 0.002):
        runs = floor.runs_for(difference)
        assert runs and floor.tellable(runs) <= difference * (1 + 1e-9)
        assert runs == 1 or floor.tellable(runs - 1) > difference
    assert floor.runs_for(0.0) is None


def test_an_item_whose_seeds_differ_more_than_the_others_is_unsteady() -> None:
    # Cochran's critical value for 10 variances of 3 values each is 0.5358 at 1 % (Eisenhart, Hastay and Wallis 1947, Table 15.2).
    def spread(variance: float) -> tuple[float, float, float]:
        return -math.sqrt(variance), 0.0, math.sqrt(variance)

    others = {str(i): spread(1.0) for i in range(9)}
    share = 0.5358
    edge = 9 * share / (1 - share)
    assert unsteady({**others, "wild": spread(edge * 1.01)}) == ("wild",)
    assert unsteady({**others, "wild": spread(edge * 0.99)}) == ()
    assert unsteady({**others, "single": (5.0,)}) == () and unsteady({}) == ()
