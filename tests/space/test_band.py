"""What is inside the band, and the nearest of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scalesearch.cost.budget import Bound, Budget
from scalesearch.cost.price import price
from scalesearch.space import blocks
from scalesearch.space import find_band as find
from scalesearch.space.band import EmptyBandError
from scalesearch.space.candidates import FamilyUnit, SpecUnit, inside
from scalesearch.space.enumerated import EnumeratedBand, PricedBand
from scalesearch.space.find_band import find_band
from scalesearch.space.projected import ProjectedBand
from scalesearch.space.slices import slices_of
from scalesearch.space.space import Choices, Space, steps
from scalesearch.study.study import Study
from tests.studies import FAMILY, make_plan, make_study


def test_an_enumerated_band_is_exactly_the_points_inside(study: Study) -> None:
    unit, band = study.unit, study.band
    assert isinstance(unit, SpecUnit) and isinstance(band, EnumeratedBand)
    expected = {spec.id for point in unit.space.points() if unit.budget.holds(price(spec := unit.space.spec(point)))}
    assert {c.key[0] for c in band.candidates} == expected
    assert 0 < len(expected) < unit.space.count


def test_nearest_is_the_point_itself_then_its_neighbours(study: Study) -> None:
    assert isinstance(study.band, EnumeratedBand)
    rng = np.random.default_rng(0)
    target = study.band.candidates[3]
    assert study.band.nearest(target.point, (), rng).key == target.key
    second = study.band.nearest(target.point, {target.key}, rng)
    assert second.key != target.key
    assert second.point["topology"] == target.point["topology"]


def test_a_name_is_kept_before_any_number(study: Study) -> None:
    # Far outside the band: the least that has to move is numbers.
    outside = {"topology": "panet", "size": 128, "width": 64, "repeats": 3}
    assert study.band.nearest(outside, (), np.random.default_rng(0)).point["topology"] == "panet"


def test_draws_are_uniform_over_the_unseen(study: Study) -> None:
    assert isinstance(study.band, EnumeratedBand)
    keys = [c.key for c in study.band.candidates]
    rng, seen = np.random.default_rng(0), set(keys[:-4])
    drawn = [study.band.draw(seen, rng).key for _ in range(400)]
    counts = [drawn.count(key) for key in keys[-4:]]
    assert sum(counts) == 400
    assert min(counts) > 70  # 100 expected, standard deviation 8.7
    with pytest.raises(EmptyBandError, match=f"all {len(keys)} candidates inside the band have been tried"):
        study.band.draw(keys, rng)


def test_a_band_that_nothing_fits_says_the_nearest_miss(tmp_path: Path) -> None:
    with pytest.raises(EmptyBandError, match=r"none of 189 is inside \(1 k <= macs <= 2 k\).*times over 2 k"):
        make_study(tmp_path, make_plan(tmp_path, make_text("{macs: {min: 1k, max: 2k}}")))


def make_text(band: str) -> str:
    """PLAN with another band."""
    from tests.studies import PLAN

    return PLAN.replace("{macs: {min: 8M, max: 16M}}", band)


def test_a_space_too_large_to_enumerate_is_solved(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ENUMERABLE", 10)
    band, rng = find_band(study.unit), np.random.default_rng(1)
    assert isinstance(band, ProjectedBand)
    seen: set[tuple[str, ...]] = set()
    for _ in range(25):
        candidate = band.draw(seen, rng)
        assert inside(study.unit, candidate) and candidate.key not in seen
        seen.add(candidate.key)
    asked = {"topology": "bifpn", "size": 128, "width": 16, "repeats": 1}
    near = band.nearest(asked, (), rng)
    assert sum(near.point[name] != asked[name] for name in asked) <= 1
    with pytest.raises(EmptyBandError, match="enumerates at most 10 points"):
        band.grid(())


def test_family_members_are_solved_to_the_middle_of_their_bands(tmp_path: Path) -> None:
    study = make_study(tmp_path, make_plan(tmp_path, FAMILY))
    unit = study.unit
    assert isinstance(unit, FamilyUnit)
    assert list(unit.axes) == ["width_factor"]
    for factor in (1.0, 1.3, 1.6, 2.0):
        candidate = unit.solve({"width_factor": factor})
        assert inside(unit, candidate)
        for phi, (spec, cost, budget) in enumerate(zip(candidate.members, candidate.costs, unit.bands, strict=True)):
            assert budget.macs is not None
            others = [
                price(unit.space.spec({"width_factor": factor}, phi=phi, size=s)).macs for s in steps(32, 256, 8).values
            ]
            off = [abs(np.log(macs / budget.macs.middle)) for macs in others]
            assert abs(np.log(cost["macs"] / budget.macs.middle)) == pytest.approx(min(off))
            assert spec.repeats == 1 + phi
    # phi 0 is the same detector whatever the factor.
    assert len({unit.solve({"width_factor": f}).members[0].id for f in (1.0, 1.6)}) == 1


def test_the_nearest_of_a_slice_is_the_nearest_of_all_with_its_names(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, rng = study.band, np.random.default_rng(0)
    assert isinstance(whole, EnumeratedBand)
    monkeypatch.setattr(blocks, "ENUMERABLE", 10)
    solved = find_band(study.unit)
    seen = {candidate.key for candidate in whole.candidates[::3]}
    axes = study.unit.axes
    for _ in range(40):
        asked = {name: axis.values[int(rng.integers(len(axis.values)))] for name, axis in axes.items()}
        one, other = whole.nearest(asked, seen, rng), solved.nearest(asked, seen, rng)
        assert other.key not in seen and inside(study.unit, other)
        far = [
            sum(
                abs(axes[n].ranks[c.point[n]] - axes[n].ranks[asked[n]]) / (len(axes[n].values) - 1)
                for n in ("size", "width", "repeats")
            )
            for c in (one, other)
        ]
        assert far[0] == pytest.approx(far[1]) and one.point["topology"] == other.point["topology"]


def test_very_many_candidates_are_made_when_asked_for(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(study.band, EnumeratedBand)
    monkeypatch.setattr(find, "ONE_BY_ONE", 5)
    band, rng = find_band(study.unit), np.random.default_rng(0)
    assert isinstance(band, PricedBand)
    keys = [candidate.key for candidate in study.band.candidates]
    assert [band.candidate(i).key for i in range(band.count)] == keys
    assert band.grid(set(keys[:3])).key == keys[3]
    target = study.band.candidates[3]
    assert band.nearest(target.point, (), rng).key == target.key
    near = band.nearest(target.point, {target.key}, rng)
    assert near.key != target.key and near.point["topology"] == target.point["topology"]
    assert band.draw(set(keys[:-1]), rng).key == keys[-1]
    for ask in (band.draw, lambda seen, rng: band.nearest(target.point, seen, rng), lambda seen, rng: band.grid(seen)):
        with pytest.raises(EmptyBandError, match=f"all {len(keys)} candidates inside the band have been tried"):
            ask(set(keys), rng)


def test_a_candidate_carries_what_the_band_asks_for(tmp_path: Path) -> None:
    text = make_text("{macs: {min: 8M, max: 16M}, memory: {max: 1.5MB}, training_memory: {max: 1GiB}}")
    study = make_study(tmp_path, make_plan(tmp_path, text))
    assert isinstance(study.band, EnumeratedBand)
    for candidate in study.band.candidates:
        assert list(candidate.costs[0]) == ["params", "macs", "activations", "memory", "training_memory"]
        assert candidate.costs[0]["memory"] <= 1.5e6
        assert study.unit.solve(candidate.point) == candidate


def test_a_slice_is_cut_by_memory_too() -> None:
    space = Space(
        axes={
            "backbone": Choices(("efficientnet-w0.25-d0.3",)),
            "size": steps(64, 256, 32),
            "width": steps(8, 48, 8),
            "repeats": Choices((1, 2)),
            "head_depth": Choices((1,)),
        },
        classes=3,
    )
    unit = SpecUnit(space, Budget(memory=Bound(2e6, 3e6)))
    slices = slices_of(unit)
    assert slices is not None
    start = next(space.points())
    found = [slices.point(start, ranks) for ranks in slices.inside(start)]
    expected = [point for point in space.points() if inside(unit, unit.solve(point))]
    assert 0 < len(expected) < space.count and sorted(map(str, found)) == sorted(map(str, expected))
