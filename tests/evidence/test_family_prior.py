"""The committed families, the population over them, and what is left out of it."""

from __future__ import annotations

import numpy as np
import pytest

from scalesearch.evidence.family_prior import likelihood, population, posterior, published_families


def test_the_families_have_sources_and_rising_costs() -> None:
    families = published_families()
    assert len(families) == 20 and len({family.group for family in families}) == 11
    for family in families:
        assert family.source.count("/") >= 1 and ".md" in family.source
        assert len(family.macs) >= 4 and list(family.macs) == sorted(family.macs)
        assert all(1e8 < macs < 1e12 for macs in family.macs) and all(20 < ap < 60 for ap in family.ap)


def test_a_network_that_two_projects_print_has_one_cost() -> None:
    """YOLOv8-n: 8.7 G in one table, 4.4 G in the other, which counts multiply-adds."""
    costs = [family.macs[0] for family in published_families() if family.group == "YOLOv8"]
    assert len(costs) == 2 and costs[0] == pytest.approx(costs[1], rel=0.02)


def test_the_population_is_inside_its_space_and_without_a_group_another_one() -> None:
    whole, without = population(), population("EfficientDet")
    share, exponent = np.exp(whole.mean)
    assert 0.3 < share < 0.5 and 0.2 < exponent < 0.5
    for found in (whole, without):
        assert np.linalg.eigvalsh(found.covariance).min() > 1e-4
    assert (without.families, without.groups) == (18, 10)
    assert not np.allclose(whole.mean, without.mean, atol=1e-4)


def test_more_members_tell_more_than_the_prior() -> None:
    costs = np.geomspace(1e9, 100e9, 30)
    ap = 60 - 40 * (costs / 1e9) ** -0.8
    widths = []
    for count in (3, 30):
        chosen = np.linspace(0, 29, count).astype(int)
        grid = likelihood(costs[chosen], ap[chosen])
        draws, _ = posterior(grid, population(), 4000, np.random.default_rng(0))
        low, high = np.quantile(np.exp(draws[:, 2]), [0.1, 0.9])
        widths.append(high - low)
    assert widths[1] < widths[0] / 2
    assert low < 0.8 < high
