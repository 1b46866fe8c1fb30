"""Laws that are known are found again within their intervals, and the intervals hold as many members as they say."""

from __future__ import annotations

import numpy as np
import pytest

from scalesearch.evidence.power_law import curve, solve, solve_many
from scalesearch.evidence.scaling_law import Member, ScalingError, ScalingLaw, fit_law

TRUE = {"A": 58.0, "B": 25.0, "c": 0.4}
"""A law of F in units of 10^9."""


def true_ap(macs: float) -> float:
    return TRUE["A"] - TRUE["B"] * (macs / 1e9) ** -TRUE["c"]


def family(count: int, noise: float = 0.0, seed: int = 0, dearest: float = 150e9) -> list[Member]:
    rng = np.random.default_rng(seed)
    costs = np.geomspace(1e9, dearest, count)
    return [Member(name=str(i), macs=f, aps=(true_ap(f) + noise * rng.standard_normal(),)) for i, f in enumerate(costs)]


def two_factors(noise: float, seed: int = 0) -> list[Member]:
    """AP = 60 - 20 N^-0.5 - 6 (S/512)^-0.8, N at 512 pixels, on a grid of networks and sizes."""
    rng = np.random.default_rng(seed)
    members = []
    for n in (1.0, 3.0, 9.0, 27.0):
        for size in (256.0, 512.0, 1024.0):
            ap = 60 - 20 * n**-0.5 - 6 * (size / 512) ** -0.8 + noise * rng.standard_normal()
            members.append(Member(name=f"{n} {size}", macs=n * 1e9 * (size / 512) ** 2, size=size, aps=(ap,)))
    return members


def holds(interval: tuple[float, float], value: float) -> bool:
    return interval[0] <= value <= interval[1]


def test_a_law_without_noise_is_found_exactly_from_every_start() -> None:
    law = fit_law(family(10))
    assert law.prior is None and law.size is None
    assert law.solution.agreeing == law.solution.starts == 4
    for name, value in TRUE.items():
        assert law.parameters[name].value == pytest.approx(value, rel=1e-4)
    assert law.residuals() == pytest.approx([0.0] * 10, abs=1e-3)
    assert law.predict([600e9])[0].value == pytest.approx(true_ap(600e9), abs=0.01)


def test_a_law_of_network_and_size_is_found_where_the_rows_separate_them() -> None:
    law = fit_law(two_factors(0.2))
    assert law.size == pytest.approx(512)
    assert law.solution.agreeing == law.solution.starts == 16
    for name, value in {"A": 60.0, "B": 20.0, "a": 0.5, "C": 6.0, "b": 0.8}.items():
        assert holds(law.parameters[name].of_95, value), name
    assert max(map(abs, law.residuals())) < 0.6 and abs(sum(law.residuals())) < 0.01
    cheap, dear = law.best_sizes(2e9), law.best_sizes(50e9)
    assert cheap.value < dear.value
    found = law.predict([12e9], [512.0])[0]
    assert holds(found.of_95, 60 - 20 * 12**-0.5 - 6)


def test_on_the_compound_diagonal_the_size_has_no_term() -> None:
    members = [
        Member(name=one.name, macs=one.macs, size=512 * (one.macs / 1e9) ** 0.15, aps=one.aps)
        for one in family(10, 0.2)
    ]
    assert fit_law(members).size is None


def test_intervals_of_many_members_hold_what_they_say() -> None:
    """40 families of known noise: a member four times dearer, and each parameter, by 80 % intervals."""
    inside: dict[str, list[bool]] = {name: [] for name in ("member", *TRUE)}
    rng = np.random.default_rng(7)
    for seed in range(40):
        law = fit_law(family(12, 0.4, seed), seed=seed)
        truth = true_ap(600e9) + 0.4 * rng.standard_normal()
        inside["member"].append(holds(law.predict([600e9])[0].of_80, truth))
        for name, value in TRUE.items():
            inside[name].append(holds(law.parameters[name].of_80, value))
    for name, hits in inside.items():
        assert 0.63 <= np.mean(hits) <= 0.97, name  # 0.8 within 2.7 standard errors


def test_intervals_from_four_members_hold_a_family_like_the_published_ones() -> None:
    """Families drawn around the population's middle: share 0.41 of 100 - AP, exponent 0.3."""
    rng = np.random.default_rng(3)
    hits = []
    for seed in range(40):
        share, c = 0.41 * np.exp(0.2 * rng.standard_normal()), 0.3 * np.exp(0.2 * rng.standard_normal())
        costs = 3e9 * np.array([1.0, 3.0, 8.0, 20.0, 50.0])
        first = rng.uniform(30, 42)
        gap = share * (100 - first)
        ap = first + gap * (1 - (costs / costs[0]) ** -c) + 0.5 * rng.standard_normal(5)
        members = [Member(name=str(i), macs=f, aps=(float(y),)) for i, (f, y) in enumerate(zip(costs, ap, strict=True))]
        law = fit_law(members[:4], seed=seed)
        assert law.prior is not None
        hits.append(holds(law.predict([costs[4]])[0].of_80, float(ap[4])))
    assert 0.65 <= np.mean(hits) <= 0.97


def test_an_interval_widens_with_the_distance() -> None:
    for law in (fit_law(family(4, 0.3)), fit_law(family(10, 0.3))):
        near, far = law.predict([200e9, 20_000e9])
        assert far.of_80[1] - far.of_80[0] > near.of_80[1] - near.of_80[0]
        assert law.extrapolates(300e9) == pytest.approx(2.0)


def test_few_members_or_a_narrow_ladder_take_the_prior() -> None:
    def taken(members: list[Member]) -> bool:
        return fit_law(members).prior is not None

    assert [taken(family(7, 0.3)), taken(family(8, 0.3)), taken(family(8, 0.3, dearest=3e9))] == [True, False, True]


def test_the_penalised_fit_is_inside_its_posterior() -> None:
    law = fit_law(family(4, 0.2))
    for estimate in law.parameters.values():
        assert holds(estimate.of_80, estimate.value)


def test_seeds_widen_the_scatter_of_few_members() -> None:
    def law(spread: float) -> ScalingLaw:
        return fit_law(
            [Member(name=one.name, macs=one.macs, aps=(one.ap - spread, one.ap + spread)) for one in family(4)]
        )

    assert law(4.0).noise.value > 2 * law(0.1).noise.value


def test_two_costs_are_no_law() -> None:
    with pytest.raises(ScalingError, match="at least 3 different costs, but got 2"):
        fit_law([*family(2), *family(2)])


@pytest.mark.parametrize("seed", range(12))
def test_rows_without_a_law_give_finite_numbers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(3, 12))
    costs = np.exp(rng.uniform(np.log(1e5), np.log(1e15), count))
    aps = rng.choice([0.0, 100.0, 50.0, 99.0], count) if seed % 2 else rng.uniform(0, 100, count)
    law = fit_law(
        [Member(name=str(i), macs=f, aps=(float(y),)) for i, (f, y) in enumerate(zip(costs, aps, strict=True))]
    )
    found = [*law.parameters.values(), law.noise, *law.predict([1e5, 1e12, 1e18])]
    assert np.isfinite([end for one in found for end in (one.value, *one.of_80, *one.of_95)]).all()


def test_many_fits_at_a_time_are_those_of_scipy() -> None:
    factors = np.geomspace(1, 100, 12)[None]
    start = np.array([55.0, np.log(30.0), np.log(0.5)])
    rng = np.random.default_rng(0)
    ap = curve(start, factors) + 0.5 * rng.standard_normal((20, 12))
    many = solve_many(factors, ap, start)
    alone = np.array([solve(factors, one).values for one in ap])
    np.testing.assert_allclose(curve(many, factors), curve(alone, factors), atol=0.02)
