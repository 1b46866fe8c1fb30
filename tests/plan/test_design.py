"""Designs and metrics by the names that other tools give them; what `cost --json` prints reads back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scalesearch.app.price_designs import as_text, priced
from scalesearch.arch.scaling import named
from scalesearch.plan.design import read_design, read_network
from scalesearch.plan.plan import PlanError, read_plan


@pytest.mark.parametrize(
    ("called", "name"),
    [
        ("efficientdet_d0", "d0"),
        ("tf_efficientdet_d0", "d0"),
        ("tf_efficientdet_d3_ap", "d3"),
        ("EfficientDet-D7x", "d7x"),
        ("efficientdet-lite2", "lite2"),
        ("D1", "d1"),
    ],
)
def test_a_published_design_may_be_called_as_elsewhere(called: str, name: str) -> None:
    assert read_design(called) == named(name)
    assert read_network(called) == named(name).topology


def test_another_name_is_none() -> None:
    with pytest.raises(ValueError, match="a design is one of d0, .* but 'efficientdet_d9' is neither"):
        read_design("efficientdet_d9")


def test_what_cost_prints_is_a_design(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(as_text(priced(["D0"], 7, "96x128", None), "json"))
    assert read_design(str(file)) == named("d0", classes=7, size=(96, 128))
    file.write_text(as_text(priced(["d0", "d1"], None, None, None), "json"))
    with pytest.raises(PlanError, match="must be one design, but has a list of 2"):
        read_design(str(file))
    file.write_text(json.dumps([]))
    with pytest.raises(PlanError, match="x.json"):
        read_design(str(file))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("band: {flops: {max: 1G}}", "band.flops is not a name here: write macs, the multiply-adds that papers"),
        ("band: {GFLOPs: {max: 1}}", "band.GFLOPs is not a name here: write macs"),
        ("band: {parameters: {max: 1M}}", "band.parameters is not a name here: write params"),
        ("band: {macs: {max: 1G}}\nobjectives: [mAP, macs]", r"objectives\[0\] is not a name here: write ap"),
        ("band: {macs: {max: 1G}}\nobjectives: [ap, flops]", r"objectives\[1\] is not a name here: write macs"),
    ],
)
def test_figures_by_other_names_are_pointed_to_ours(tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "plan.yaml"
    space = "{backbone: efficientnet_b0, topology: bifpn, size: 512, width: [64, 80], repeats: 3, head_depth: 3}"
    file.write_text(f"space: {space}\n{line}\n")
    with pytest.raises(PlanError, match=said):
        read_plan(file)
