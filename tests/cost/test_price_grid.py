"""A grid is the same integers as its points one by one."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from scalesearch.arch.backbone import BackboneMemory, EfficientNet, Measured, TimmBackbone
from scalesearch.arch.networks import bifpn, fpn, nasfpn, panet
from scalesearch.arch.scaling import named
from scalesearch.arch.spec import DetectorSpec
from scalesearch.arch.topology import Node, Topology
from scalesearch.cost.memory import peak_activations, peak_grid
from scalesearch.cost.price import price, price_grid

TOY = TimmBackbone(
    name="toy",
    measured=Measured(
        {3: 40, 4: 80, 5: 96},
        1000,
        {(h, w): 7 * h * w for h in range(32, 321, 16) for w in range(32, 321, 16)},
        {(h, w): h * w for h in range(32, 321, 16) for w in range(32, 321, 16)},
        "",
        memory={
            (h, w): BackboneMemory(peak=9 * h * w, kept=h * w, norms=4)
            for h in range(32, 321, 16)
            for w in range(32, 321, 16)
        },
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


def test_topologies_and_backbones_are_the_first_axes() -> None:
    mine = Topology(3, 5, (Node(4, (1, 2)), Node(3, (0, 3, 3), "sum"), Node(5, (2, 4), "gate_max")))
    topologies, backbones = [mine, nasfpn()], [EfficientNet(width=0.5), TOY, EfficientNet(lite=True)]
    sizes = (np.array([64, 320]), np.array([160, 96]))
    columns: dict[str, Any] = {"size": sizes, "width": np.array([[40], [88]]), "head_depth": 0}
    grid = price_grid(named("d0"), topology=topologies, backbone=backbones, **columns)
    peaks = peak_grid(named("d0"), topology=topologies, backbone=backbones, **columns)
    assert grid.macs.shape == peaks.shape == (2, 3, 2, 2)
    for t, b, w, s in np.ndindex(grid.macs.shape):
        width, size = (40, 88)[w], (int(sizes[0][s]), int(sizes[1][s]))
        one = dataclasses.replace(
            named("d0"),
            topology=topologies[t],
            backbone=backbones[b],
            size=size,
            width=width,
            head_width=width,
            head_depth=0,
        )
        assert tuple(int(part[t, b, w, s]) for part in grid) == price(one)
        assert peaks[t, b, w, s] == peak_activations(one)
    assert price_grid(named("d0"), topology=mine).macs.shape == ()
    with pytest.raises(ValueError, match="a list for backbone needs at least one value, but it is empty"):
        price_grid(named("d0"), backbone=[])


def test_sizes_are_sides_of_squares_or_two_arrays() -> None:
    sides = np.array([512, 640])
    assert price_grid(named("d0"), size=sides).macs.tolist() == [
        price(named(n, size=(s, s))).macs for n, s in (("d0", 512), ("d0", 640))
    ]
    assert int(price_grid(named("d0"), size=(512, 640)).macs) == price(named("d0", size=(512, 640))).macs
    with pytest.raises(ValueError, match=r"a tuple \(heights, widths\), but got a tuple of 3"):
        price_grid(named("d0"), size=(512, 640, 768))  # type: ignore[arg-type]


@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_no_points_are_no_prices(base: DetectorSpec) -> None:
    assert [part.shape for part in price_grid(base, size=([], []), repeats=[])] == [(0,)] * 3
    assert peak_grid(named("d0"), width=[]).shape == (0,)


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.int32, np.uint64])
def test_small_integers_do_not_overflow(kind: Any) -> None:
    sides = np.array([8192 if kind != np.int8 else 96], dtype=kind)
    most = price_grid(named("d0"), size=sides, width=sides, repeats=np.array([100], dtype=kind))
    side = int(sides[0])
    one = dataclasses.replace(named("d0"), size=(side, side), width=side, head_width=side, repeats=100)
    assert tuple(int(part[0]) for part in most) == price(one)


def test_what_is_no_detector_is_refused() -> None:
    with pytest.raises(ValueError, match=r"width must be whole numbers in 1\.\.8192, but got 0"):
        price_grid(named("d0"), width=np.array([0, 8]))
    with pytest.raises(ValueError, match=r"size must be whole numbers in 32\.\.16384, but got 1000000"):
        price_grid(named("d0"), size=10**6)
    with pytest.raises(ValueError, match=r"width must be whole numbers in 1\.\.8192, but got 9223372036854775808"):
        price_grid(named("d0"), width=np.array([2**63], dtype=np.uint64))
    with pytest.raises(ValueError, match="width must be whole numbers, but got an array of <U2"):
        price_grid(named("d0"), width=["64"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"broadcast together, but their shapes are width \(3,\), .* repeats \(4,\)$"):
        price_grid(named("d0"), width=[8, 16, 24], repeats=[1, 2, 3, 4])
    with pytest.raises(ValueError, match="a grid is over topology, backbone, size, .*, but got 'classes'"):
        peak_grid(named("d0"), classes=[1, 2])
    with pytest.raises(ValueError, match="repeats must be whole numbers, but got an array of float64"):
        price_grid(named("d0"), repeats=np.array([1.5]))
    with pytest.raises(ValueError, match="not at 48x500"):
        price_grid(BASES["timm"], size=(np.array([48]), np.array([500])))
