"""The price against fvcore's trace, entry by entry."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from timm.layers import use_fused_attn

from scalesearch.arch.backbone import TimmBackbone
from scalesearch.arch.scaling import named
from scalesearch.arch.topology import Node, Topology
from scalesearch.cost.price import price
from scalesearch.profile import fvcore_check as oracle
from scalesearch.profile.fvcore_check import compare_with_fvcore
from scalesearch.profile.resolve import resolve_spec

SMALL = dataclasses.replace(named("d0"), size=(64, 96), repeats=1, head_depth=1)


def test_every_entry_of_d0_is_what_fvcore_counts() -> None:
    found = compare_with_fvcore(SMALL)
    assert found.agrees
    assert [entry.name for entry in found.entries] == [
        "backbone.conv_stem",
        *(f"backbone.blocks.{i}" for i in range(7)),
        "neck",
        "class_head",
        "box_head",
    ]
    assert sum(entry.counted for entry in found.entries) == price(SMALL).macs
    assert "batch_norm" in found.left_out and any(text.startswith("silu_ ") for text in found.uncounted)


@pytest.mark.parametrize("name", ["resnet18", "pvt_v2_b0"])
def test_a_timm_backbone_is_one_entry_with_its_attention(name: str, tmp_path: Path) -> None:
    spec = resolve_spec(dataclasses.replace(SMALL, backbone=TimmBackbone(name=name)), tmp_path)
    fused = use_fused_attn()
    found = compare_with_fvcore(spec)
    assert found.agrees and found.entries[0].name == "backbone"
    assert use_fused_attn() == fused


def test_what_a_timm_model_runs_and_nothing_reads_is_separated(tmp_path: Path) -> None:
    backbone = TimmBackbone(name="hrnet_w18_small")
    spec = resolve_spec(dataclasses.replace(SMALL, size=(64, 64), backbone=backbone), tmp_path)
    found = compare_with_fvcore(spec)
    assert found.agrees and found.entries[0].unused > 0


def test_what_nothing_reads_is_separated() -> None:
    # Levels 3..5; the next cell does not read level 3, so the first cell's node there runs for nothing.
    nodes = (Node(3, (1,)), Node(4, (1, 2)), Node(5, (2,)))
    spec = dataclasses.replace(SMALL, topology=Topology(3, 5, nodes), repeats=2)
    found = {entry.name: entry for entry in compare_with_fvcore(spec).entries}
    assert found["neck"].unused > 0 and found["neck"].agrees
    assert all(not entry.unused for name, entry in found.items() if name != "neck")


def test_a_wrong_price_does_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    other = dataclasses.replace(SMALL, head_depth=2)
    real = oracle.build
    monkeypatch.setattr(oracle, "build", lambda spec: real(other))
    found = compare_with_fvcore(SMALL)
    assert not found.agrees
    assert [entry.name for entry in found.entries if not entry.agrees] == ["class_head", "box_head"]
