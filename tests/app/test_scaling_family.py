"""A family for budgets: integers at exact cost inside them, ranges about them, and a plan that `train` and `search` read."""

from __future__ import annotations

import dataclasses
import json
import math
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from scalesearch.app.scaling_family import ScaledFamily, family_for
from scalesearch.app.scaling_rows import dimensions_of, kind_of
from scalesearch.app.search_study import unit_of
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.cli import cli
from scalesearch.cost.price import price
from scalesearch.evidence.scaling_law import Member
from scalesearch.evidence.scaling_surface import ScalingSurface, fit_surface
from scalesearch.plan.design import fits_anchors, read_design
from scalesearch.plan.plan import read_plan
from scalesearch.space.candidates import SpecUnit
from tests.detectors import TINY

STUDY = Path(__file__).parents[2] / "results" / "width_grid"
BUDGETS = (8e6, 16e6, 32e6)


def shaped(size: int, width: int, repeats: int) -> DetectorSpec:
    return dataclasses.replace(TINY, size=(3 * size // 4, size), width=width, head_width=width, repeats=repeats)


@cache
def surface() -> ScalingSurface:
    found = fit_surface(known())
    assert found
    return found


def known() -> list[Member]:
    """AP falls with the distance from a width of 24 (F / 10 M)^0.3."""
    rng = np.random.default_rng(0)
    members = []
    for i in range(40):
        spec = shaped(int(rng.choice([64, 96, 128, 160])), int(rng.choice([16, 24, 32, 48])), int(rng.integers(1, 5)))
        macs = price(spec).macs
        away = math.log(spec.width / 24) - 0.3 * math.log(macs / 1e7)
        ap = 45 - 10 * (macs / 1e7) ** -0.4 - 8 * away**2 + 0.2 * rng.standard_normal()
        members.append(Member(name=str(i), macs=macs, aps=(ap,), dimensions=dimensions_of(spec), kind=kind_of(spec)))
    return members


@pytest.fixture(scope="module")
def family() -> ScaledFamily:
    return family_for(surface(), shaped(96, 24, 2), BUDGETS)


def test_members_are_inside_their_budgets_at_their_exact_cost(family: ScaledFamily) -> None:
    assert [one.budget for one in family.members] == list(BUDGETS)
    for one in family.members:
        assert (one.macs, one.params) == (price(one.spec).macs, price(one.spec).params)
        assert 0.8 * one.budget <= one.macs <= one.budget
        assert one.spec.width % 8 == 0 and one.spec.head_width == one.spec.width
        assert one.spec.size[0] / one.spec.size[1] == pytest.approx(0.75, abs=0.06)
        best = 24 * (one.macs / 1e7) ** 0.3
        assert best / 1.6 <= one.spec.width <= best * 1.6
        for name, flat in one.flat.items():
            assert flat.low <= dimensions_of(one.spec)[name] <= flat.high
        assert one.ap.of_95[0] < one.ap.of_80[0] < one.ap.value < one.ap.of_80[1] < one.ap.of_95[1]


def test_no_dimension_shrinks_and_growth_is_known(family: ScaledFamily) -> None:
    shapes = [dimensions_of(one.spec) for one in family.members]
    for before, after in pairwise(shapes):
        assert all(after[name] >= before[name] for name in ("size", "width", "repeats"))
    low, high = family.growth["width"].of_95
    assert low <= 2**0.3 <= high


def test_a_budget_below_every_design_is_refused() -> None:
    with pytest.raises(ValueError, match="the cheapest design that these rows lead to has"):
        family_for(surface(), shaped(96, 24, 2), [1e4])


def test_rows_of_other_backbones_are_another_kind_but_anchors_are_none() -> None:
    assert kind_of(shaped(64, 16, 1)) == kind_of(dataclasses.replace(shaped(128, 32, 3), anchors=Anchors(scale=3.0)))
    assert kind_of(TINY) != kind_of(dataclasses.replace(TINY, activation="relu"))
    assert dimensions_of(dataclasses.replace(TINY, head_width=16)) == {}


def test_a_study_s_family_is_a_plan_whose_members_are_designs(tmp_path: Path) -> None:
    out = tmp_path / "family.yaml"
    arguments = ["fit", str(STUDY), "--budgets", "20M,40M,80M", "-o", str(out), "--json"]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    scaled = json.loads(done.output)["families"][0]["scaled"]
    assert [one["budget"] for one in scaled["members"]] == [20e6, 40e6, 80e6]
    plan = read_plan(out)
    assert list(plan.baselines) == ["20M", "40M", "80M"] and plan.recipe.epochs == 4
    assert plan.band and plan.band.holds({"macs": 80e6}) and not plan.band.holds({"macs": 81e6})
    assert isinstance(unit_of(plan, 10, Anchors()), SpecUnit)
    for one in scaled["members"]:
        design = f"{out}#{one['budget'] / 1e6:.0f}M"
        spec = read_design(design, classes=10)
        expected = {name: one[name] for name in ("size", "width", "repeats", "head_depth")}
        assert dimensions_of(spec) == expected and fits_anchors(design)
        assert spec.backbone.name == "test_byobnet"
    with pytest.raises(ValueError, match=r"one of its baselines \(20M, 40M, 80M\), but got '30M'"):
        read_design(f"{out}#30M")
    with pytest.raises(ValueError, match=r"a design is one detector; name one of them, as .*family\.yaml#20M"):
        read_design(str(out))
    with pytest.raises(ValueError, match="exists"):
        CliRunner().invoke(cli, arguments, catch_exceptions=False)


def test_a_table_with_dimensions_takes_the_design_from_the_command_line(tmp_path: Path) -> None:
    file, out = tmp_path / "rows.csv", tmp_path / "mine.yaml"
    lines = ["name,macs,ap,size,width,repeats"]
    rng = np.random.default_rng(0)
    for i in range(24):
        size, width, repeats = int(rng.choice([320, 416, 512])), int(rng.choice([48, 64, 88])), int(rng.integers(2, 5))
        macs = 2e9 * (size / 512) ** 2 * (width / 64) ** 0.5
        lines.append(f"m{i},{macs:.0f},{30 + 6 * math.log(macs / 1e9) + rng.normal():.2f},{size},{width},{repeats}")
    file.write_text("\n".join(lines) + "\n")
    arguments = ["fit", str(file), "--budgets", "2G", "--design", "lite0", "-o", str(out)]
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert "in brackets: values that the rows do not tell from the best" in done.output
    assert read_design(f"{out}#2G").backbone.name == read_design("lite0").backbone.name
    with pytest.raises(ValueError, match="-o writes one family, but .* has no family for budgets"):
        CliRunner().invoke(
            cli, ["fit", str(file), "--budgets", "2G", "-o", str(tmp_path / "b.yaml")], catch_exceptions=False
        )
