"""The landscape has the properties that are claimed for it, on the committed plan and on its variants."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from scalesearch.arch.scaling import named
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.plan.plan import Plan, read_plan
from scalesearch.rehearsal.landscape import LANDSCAPES, Landscape, facts
from scalesearch.space.candidates import SpecUnit
from scalesearch.space.enumerated import EnumeratedBand
from scalesearch.space.find_band import find_band

PLAN = Path(__file__).parents[2] / "search_spaces" / "landscape.yaml"


@pytest.fixture(scope="module")
def plan() -> Plan:
    return read_plan(PLAN)


@pytest.fixture(scope="module")
def specs(plan: Plan) -> list[DetectorSpec]:
    """Every fourth detector of the band, which holds under 1 % of the space."""
    assert plan.band is not None
    unit = SpecUnit(plan.space(classes=10, anchors=Anchors()), plan.band)
    band = find_band(unit)
    assert isinstance(band, EnumeratedBand)
    assert 0.002 * unit.space.count < len(band.candidates) < 0.01 * unit.space.count
    return [candidate.members[0] for candidate in band.candidates[::4]]


def at(plan: Plan, name: str = "plain") -> Landscape:
    assert plan.band and plan.band.macs
    return Landscape(macs=plan.band.macs.middle, epochs=plan.recipe.epochs, **LANDSCAPES[name])


def test_the_landscape_is_as_hard_as_is_said(plan: Plan, specs: list[DetectorSpec]) -> None:
    plain, crossing, noisy = (facts(at(plan, name), specs, 6) for name in LANDSCAPES)
    assert 0.20 <= plain.crossing < crossing.crossing < 0.5
    assert plain.slowness_by_cost > 0.5
    assert plain.noise == 0.02 and noisy.noise == 0.04
    assert 0.03 < plain.spread < 0.1


def test_curves_rise_to_the_truth(plan: Plan, specs: list[DetectorSpec]) -> None:
    land = at(plan)
    for spec in specs[::50]:
        shares = [land.share(spec, epoch) for epoch in range(plan.recipe.epochs + 1)]
        assert shares[0] == 0 and shares[-1] == 1 and all(np.diff(shares) > 0)
        assert 0 < land.truth(spec) < 0.6


def test_seeds_differ_by_what_is_said_and_a_curve_by_less(plan: Plan, specs: list[DetectorSpec]) -> None:
    land, end = at(plan), plan.recipe.epochs
    off = np.array([land.ap(spec, seed, end) - land.truth(spec) for spec in specs for seed in range(4)])
    assert off.std() == pytest.approx(np.hypot(0.02, 0.005), rel=0.05)
    assert abs(off.mean()) < 0.002
    quiet = replace(land, noise=0.0)
    along = np.array(
        [[quiet.ap(spec, 0, e) - quiet.truth(spec) * quiet.share(spec, e) for e in (36, 37, 12)] for spec in specs]
    )
    close, far = np.corrcoef(along.T)[0, 1:]
    assert along.std() == pytest.approx(0.005, rel=0.1)
    assert close > 0.8 and abs(far) < 0.15


def test_it_is_a_pure_function_of_the_spec_and_the_seed(plan: Plan) -> None:
    land, spec = at(plan), named("d0", size=(256, 256))
    assert land.ap(spec, 3, 20) == at(plan).ap(named("d0", size=(256, 256)), 3, 20) != land.ap(spec, 4, 20)


def test_dear_ones_end_higher_and_learn_slower(plan: Plan) -> None:
    land = at(plan)
    cheap, dear = named("d0", size=(192, 192)), named("d2", size=(256, 256))
    assert land.truth(cheap) < land.truth(dear)
    assert land.share(cheap, 4) > land.share(dear, 4)
