"""The paper's formulas beside the shipped table, and the rounding rule of searched widths."""

from __future__ import annotations

import pytest

from scalesearch.arch.backbone import parse
from scalesearch.arch.scaling import Compound, compound, named, round_width

# Widths that each factor implies at phi 0 .. 7, rounded to the nearest multiple of 8.
WIDTHS = {
    1.2: [64, 80, 96, 112, 136, 160, 192, 232],
    1.25: [64, 80, 104, 128, 160, 192, 248, 304],
    1.3: [64, 80, 112, 144, 184, 240, 312, 400],
    1.35: [64, 88, 120, 160, 216, 288, 384, 520],
    1.4: [64, 88, 128, 176, 248, 344, 480, 672],
    1.45: [64, 96, 136, 192, 280, 408, 592, 864],
}


@pytest.mark.parametrize("factor", WIDTHS)
def test_widths_of_the_papers_grid(factor: float) -> None:
    assert [Compound(width_factor=factor).width(phi) for phi in range(8)] == WIDTHS[factor]


def test_the_formulas_miss_the_table_where_it_is_known_to() -> None:
    misses = {}
    for phi, name in enumerate(f"d{phi}" for phi in range(8)):
        rule, shipped = compound(phi), named(name)
        misses[name] = [
            field
            for field in ("backbone", "size", "width", "repeats", "head_depth")
            if getattr(rule, field) != getattr(shipped, field)
        ]
    assert misses == {
        "d0": [],
        "d1": [],
        "d2": ["width"],
        "d3": [],
        "d4": ["width"],
        "d5": ["size", "repeats"],
        "d6": ["repeats"],
        "d7": ["backbone", "size", "width", "repeats"],
    }


@pytest.mark.parametrize(("width", "rounded"), [(1, 8), (11.9, 8), (12, 16), (86.4, 88), (116.64, 120), (20, 24)])
def test_widths_round_to_the_nearest_eight(width: float, rounded: int) -> None:
    assert round_width(width) == rounded


def test_the_settings_of_the_rest_of_the_family() -> None:
    d7, d7x = named("d7"), named("d7x")
    assert (d7.backbone, d7.anchors.scale, list(d7.levels)) == (parse("efficientnet_b6"), 5, [3, 4, 5, 6, 7])
    assert (d7x.backbone, d7x.anchors.scale, list(d7x.levels)) == (parse("efficientnet_b7"), 4, [3, 4, 5, 6, 7, 8])
    assert {node.fusion for name in ("d6", "d7", "d7x") for node in named(name).topology.nodes} == {"sum"}
    lite = {name: named(name) for name in ("lite0", "lite1", "lite2", "lite3", "lite3x", "lite4")}
    assert [spec.anchors.scale for spec in lite.values()] == [3, 3, 3, 4, 3, 4]
    assert [spec.size[0] for spec in lite.values()] == [320, 384, 448, 512, 640, 640]
    assert {spec.activation for spec in lite.values()} == {"relu6"}
    assert lite["lite3x"].backbone == lite["lite3"].backbone == parse("efficientnet-lite-w1.2-d1.4")


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ValueError, match="one of d0, d1, .* but got 'd9'"):
        named("d9")
