"""The plans that come with the project: each is read, and the claims about the one that was not trained here hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from scalesearch.app.search_study import unit_of
from scalesearch.arch.scaling import PUBLISHED
from scalesearch.arch.spec import Anchors
from scalesearch.plan.plan import read_plan
from scalesearch.space.candidates import inside

PLANS = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))


@pytest.mark.parametrize("plan", PLANS, ids=lambda path: path.stem)
def test_it_is_read(plan: Path) -> None:
    assert read_plan(plan).name == plan.stem


def test_the_papers_coefficients_come_to_the_papers_detectors_at_their_costs() -> None:
    """EfficientDet table 1: sizes 512 .. 1280 and widths 64 .. 384 of D0 .. D6, whose costs are the bands."""
    (file,) = (path for path in PLANS if path.stem == "compound")
    unit = unit_of(read_plan(file), 90, Anchors())
    family = unit.solve({"width_factor": 1.35})
    assert inside(unit, family)
    for phi, member in enumerate(family.members[:7]):
        paper = PUBLISHED[f"d{phi}"]
        assert member.backbone == paper.backbone
        assert abs(member.size[0] - paper.size) <= 32
        assert abs(member.width - paper.width) <= 8
