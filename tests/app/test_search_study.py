"""What a plan's candidates and named designs are made of, before anything is trained."""

from __future__ import annotations

from pathlib import Path

from scalesearch.app.search_study import unit_of
from scalesearch.arch.spec import Anchors
from scalesearch.cost.price import price
from scalesearch.plan.plan import read_plan
from scalesearch.space.candidates import SpecUnit


def test_a_named_design_may_have_a_backbone_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(
        "data: {source: digits}\n"
        "space: {backbone: efficientnet-w0.25-d0.3, topology: fpn, width: [16, 24], repeats: 1, head_depth: 1, size: 64}\n"
        "band: {macs: {max: 1G}}\n"
        "baselines: {timm: {backbone: test_byobnet, width: 16}}\n"
    )
    plan = read_plan(file)
    unit = unit_of(plan, 10, Anchors())
    assert isinstance(unit, SpecUnit)
    spec = unit.space.spec(plan.baselines["timm"])
    assert spec.backbone.name == "test_byobnet"
    assert price(spec).macs > 0
