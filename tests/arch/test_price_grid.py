"""A grid is the same integers as its points one by one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from scalesearch.arch.backbone import EfficientNet, Measured, TimmBackbone
from scalesearch.arch.cost import price, price_grid
from scalesearch.arch.networks import bifpn, fpn, panet
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec

TOY = TimmBackbone(
    name="toy",
    measured=Measured(
        {3: 40, 4: 80, 5: 96},
        1000,
        {(h, w): 7 * h * w for h in range(32, 321, 16) for w in range(32, 321, 16)},
        {(h, w): h * w for h in range(32, 321, 16) for w in range(32, 321, 16)},
        "",
    ),
)
BASES = {
    "d0": named("d0"),
    "level laterals, full": dataclasses.replace(
        named("d0"), topology=fpn(2, 8), laterals="level", extra_levels="pool", separable=False
    ),
    "kept laterals, lite": dataclasses.replace(
        named("d0"), backbone=EfficientNet(width=0.5, lite=True), topology=panet(), lateral_at_equal_width=True
    ),
    "timm": dataclasses.replace(named("d0"), backbone=TOY, topology=bifpn(3, 6, "channel_fast")),
}


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_a_grid_equals_its_points(base: DetectorSpec) -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        "width": rng.choice([8, 40, 64, 80, 96, 112, 320], 300),
        "head_width": rng.integers(1, 100, 300),
        "repeats": rng.integers(1, 9, 300),
        "head_depth": rng.integers(0, 6, 300),
    }
    size = (rng.integers(2, 21, 300) * 16, rng.integers(2, 21, 300) * 16)
    grid = price_grid(base, size=size, **columns)
    for i in range(300):
        fields = {name: int(values[i]) for name, values in columns.items()}
        spec = dataclasses.replace(base, size=(int(size[0][i]), int(size[1][i])), **fields)
        assert tuple(int(part[i]) for part in grid) == price(spec)  # type: ignore[index]


def test_arrays_broadcast_and_the_head_follows_the_width() -> None:
    width, side = np.array([64, 88]), np.array([[512], [640], [768]])
    grid = price_grid(named("d0"), width=width, size=(side, side))
    assert np.shape(grid.macs) == (3, 2)
    assert int(grid.params[0, 0]) == 3_880_067  # type: ignore[index]
    one = dataclasses.replace(named("d0"), width=88, head_width=88, size=(768, 768))
    assert int(grid.macs[2, 1]) == price(one).macs  # type: ignore[index]


def test_what_is_no_detector_is_refused() -> None:
    with pytest.raises(ValueError, match="width must be whole numbers of at least 1, but got int64 from 0"):
        price_grid(named("d0"), width=np.array([0, 8]))
    with pytest.raises(ValueError, match="repeats must be whole numbers"):
        price_grid(named("d0"), repeats=np.array([1.5]))
    with pytest.raises(ValueError, match="not at 48x500"):
        price_grid(BASES["timm"], size=(np.array([48]), np.array([500])))
