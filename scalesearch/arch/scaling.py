"""Compound scaling: one coefficient phi moves every dimension (EfficientDet sec. 4).

The paper's formulas are here, and the table that was shipped: the two differ from phi = 2 on, and
no rounding rule gives the table (google/automl hparams_config.py), so the names d0 .. d7 use the table.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from scalesearch.arch.backbone import EfficientNet, efficientnet_b
from scalesearch.arch.networks import bifpn
from scalesearch.arch.spec import Anchors, DetectorSpec


def round_width(width: float) -> int:
    """The rule for searched widths: the nearest multiple of 8, halves up, at least 8."""
    return max(8, math.floor(width / 8 + 0.5) * 8)


def round_size(size: float, step: int = 8) -> int:
    """The rule for searched sizes: the nearest multiple of `step` pixels, halves up."""
    return max(step, math.floor(size / step + 0.5) * step)


@dataclass(frozen=True, kw_only=True)
class Compound:
    """Scaling coefficients; the defaults are the published ones (EfficientDet eq. 1-3).

    width = width_base * width_factor ** phi; repeats = repeats_base + repeats_step * phi;
    head_depth = head_base + floor(head_step * phi); size = size_base + size_step * phi.
    """

    width_base: float = 64
    width_factor: float = 1.35
    repeats_base: float = 3
    repeats_step: float = 1
    head_base: float = 3
    head_step: float = 1 / 3
    size_base: float = 512
    size_step: float = 128

    def width(self, phi: float) -> int:
        """Feature-network channels, by `round_width`."""
        return round_width(self.width_base * self.width_factor**phi)

    def repeats(self, phi: float) -> int:
        """Cells, rounded down, at least 1."""
        return max(1, math.floor(self.repeats_base + self.repeats_step * phi + 1e-9))

    def head_depth(self, phi: float) -> int:
        """Convolutions in a head; the paper's floor(phi / 3) is floor(head_step * phi)."""
        return max(0, math.floor(self.head_base + self.head_step * phi + 1e-9))

    def size(self, phi: float) -> int:
        """Side of the square input in pixels, by `round_size`."""
        return round_size(self.size_base + self.size_step * phi)


@dataclass(frozen=True)
class _Published:
    backbone: int
    size: int
    width: int
    repeats: int
    head_depth: int
    fusion: str = "fast"
    anchor_scale: float = 4.0


PUBLISHED = {  # google/automl hparams_config.py; d6 and d7 fuse by plain sum "for stability"
    "d0": _Published(0, 512, 64, 3, 3),
    "d1": _Published(1, 640, 88, 4, 3),
    "d2": _Published(2, 768, 112, 5, 3),
    "d3": _Published(3, 896, 160, 6, 4),
    "d4": _Published(4, 1024, 224, 7, 4),
    "d5": _Published(5, 1280, 288, 7, 4),
    "d6": _Published(6, 1280, 384, 8, 5, "sum"),
    "d7": _Published(6, 1536, 384, 8, 5, "sum", 5.0),
}


def named(name: str, *, classes: int = 90, size: tuple[int, int] | None = None) -> DetectorSpec:
    """A published detector, `d0` .. `d7`, at its native size unless `size` (h, w) is given.

    Raises ValueError for another name.
    """
    if name not in PUBLISHED:
        raise ValueError(f"a named detector is one of {', '.join(PUBLISHED)}, but got {name!r}")
    row = PUBLISHED[name]
    return DetectorSpec(
        size=size or (row.size, row.size),
        classes=classes,
        backbone=efficientnet_b(row.backbone),
        topology=bifpn(fusion=row.fusion),
        repeats=row.repeats,
        width=row.width,
        head_width=row.width,
        head_depth=row.head_depth,
        anchors=Anchors(scale=row.anchor_scale),
    )


def compound(
    phi: float,
    coefficients: Compound | None = None,
    *,
    base: DetectorSpec | None = None,
    backbone: EfficientNet | None = None,
) -> DetectorSpec:
    """The detector that the formulas give at `phi`: `base` (d0) with its five dimensions replaced.

    The backbone is EfficientNet-B`round(phi)` unless one is given. ValueError outside phi 0..7 then.
    """
    rule = coefficients or Compound()
    width, side = rule.width(phi), rule.size(phi)
    return dataclasses.replace(
        base or named("d0"),
        backbone=backbone or efficientnet_b(round(phi)),
        size=(side, side),
        width=width,
        head_width=width,
        repeats=rule.repeats(phi),
        head_depth=rule.head_depth(phi),
    )
