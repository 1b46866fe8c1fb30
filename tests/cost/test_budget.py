"""Human units, bands, and by how much a candidate misses."""

from __future__ import annotations

from typing import Any

import pytest

from scalesearch.cost import budget
from scalesearch.cost.budget import Bound, Budget, human, quantity
from scalesearch.cost.price import Cost


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3G", 3e9),
        ("3 B", 3e9),
        ("25M", 25e6),
        ("2.5e9", 2.5e9),
        ("1.5k", 1500),
        (300, 300),
        ("0.9G", 0.9e9),
        ("2T", 2e12),
    ],
)
def test_quantities(text: str | float, value: float) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "G", "-3G", "3 GB", "three", "3m", True])
def test_bad_quantities_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a quantity is a positive number"):
        quantity(text)


@pytest.mark.parametrize("value", [1234.0, 61.2e6, 2.54e9, 999.9e6, 999.99e6, 12.0])
def test_human_is_undone_by_quantity(value: float) -> None:
    assert quantity(human(value)) == pytest.approx(value, rel=5e-3)


def test_a_band_holds_its_ends() -> None:
    band = budget.from_dict({"macs": {"min": "0.9G", "max": "1.1G"}, "params": {"max": "5M"}})
    assert band.holds(Cost(5_000_000, 900_000_000, 1))
    assert band.holds(Cost(1, 1_100_000_000, 1))
    assert not band.holds(Cost(5_000_001, 10**9, 1))
    assert band.miss(Cost(6_000_000, 10**9, 1)) == "params 6 M is 20% over 5 M"
    assert band.miss(Cost(1, 450_000_000, 1)) == "macs 450 M is 50% under 900 M"
    assert band.miss(Cost(60_000_000, 10**9, 1)) == "params 60 M is 12 times over 5 M"
    assert band.miss(Cost(1, 10**9, 1)) == ""
    assert band.distance(Cost(1, 10**9, 1)) == 0 < band.distance(Cost(1, 10**8, 1))
    assert str(band) == "900 M <= macs <= 1.1 G, params <= 5 M"
    assert budget.from_dict(band.to_dict()) == band


def test_empty_and_unknown_bands_are_refused() -> None:
    with pytest.raises(ValueError, match="min <= max, but got min 2 G, max 1 G"):
        budget.from_dict({"macs": {"min": "2G", "max": "1G"}})
    with pytest.raises(ValueError, match="but it is empty"):
        Budget()
    with pytest.raises(ValueError, match="but got 'flops'"):
        budget.from_dict({"flops": {"max": "1G"}})


@pytest.mark.parametrize("bad", [{"most": "1G"}, {}, "3G", ["1G", "2G"]])
def test_what_is_no_bound_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match=r"a band has min, max or both, as macs: \{max: ...\}, but macs got "):
        Budget(macs=bad)


def test_a_bound_that_is_wrong_is_named_in_its_own_unit() -> None:
    with pytest.raises(ValueError, match="latency: a band needs min <= max, but got min 20 ms, max 10 ms"):
        budget.from_dict({"latency": {"min": "20ms", "max": "10ms"}})
    with pytest.raises(ValueError, match="memory, max: an amount of memory is .*, but got '20ms'"):
        budget.from_dict({"params": {"max": "3M"}, "memory": {"max": "20ms"}})


def test_a_budget_is_written_in_human_units() -> None:
    band = Budget(macs={"min": "0.9G", "max": "3.0e9"}, memory={"max": "1.5GiB"}, latency={"max": "20 ms"})  # type: ignore[arg-type]
    assert band.macs == Bound(9e8, 3e9) and band.memory == Bound(0, 1.5 * 2**30) and band.latency == Bound(0, 0.02)
    assert band == budget.from_dict(band.to_dict()) and hash(band) == hash(budget.from_dict(band.to_dict()))


def test_a_miss_is_never_nothing() -> None:
    band = Budget(macs=Bound(10**9, 11 * 10**8))
    assert band.miss(Cost(1, 1_100_000_001, 1)) == "macs 1.1 G is less than 0.1% over 1.1 G"
    assert band.miss(Cost(1, 1_103_300_000, 1)) == "macs 1.1 G is 0.3% over 1.1 G"
    assert band.miss(Cost(1, 950_000_000, 1)) == "macs 950 M is 5% under 1 G"


def test_the_middle_of_a_band() -> None:
    assert Bound(100, 400).middle == 200
    assert (Bound(high=400).middle, Bound(low=100).middle) == (400, 100)


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("500MB", "memory", 5e8), ("2 GiB", "memory", 2 * 2**30), ("64KiB", "memory", 65536), ("3e6", "memory", 3e6),
        ("500M", "training_memory", 5e8), ("20ms", "latency", 0.02), ("1.5s", "latency", 1.5), ("800us", "latency", 8e-4), ("8µs", "latency", 8e-6),
        ("8μs", "latency", 8e-6),
    ],
)  # fmt: skip
def test_quantities_with_units(text: str, name: str, value: float) -> None:
    assert quantity(text, name) == pytest.approx(value, rel=1e-12)
    assert quantity(human(value, name), name) == pytest.approx(value, rel=5e-3)


@pytest.mark.parametrize(("text", "name"), [("20", "latency"), ("20M", "latency"), ("20ms", "memory"), ("3GB", "macs")])
def test_units_of_something_else_are_refused(text: str, name: str) -> None:
    with pytest.raises(ValueError, match="is a positive number with .* after it, but got"):
        quantity(text, name)


def test_a_miss_is_given_in_its_own_unit() -> None:
    band = budget.from_dict({"memory": {"max": "500MB"}, "latency": {"max": "20ms"}})
    metrics = {"memory": 6e8, "latency": 0.025}
    assert band.miss(metrics) == "memory 600 MB is 20% over 500 MB, latency 25 ms is 25% over 20 ms"
    assert band.distance(metrics) == pytest.approx(0.2231, abs=1e-4)
    assert budget.from_dict(band.to_dict()) == band
    with pytest.raises(ValueError, match="latency is needed, but only memory were computed"):
        band.holds({"memory": 1.0})


def test_a_figure_that_there_is_not_is_named() -> None:
    with pytest.raises(ValueError, match="a metric is one of macs, params, .*, but got 'flops'"):
        quantity("3G", "flops")
