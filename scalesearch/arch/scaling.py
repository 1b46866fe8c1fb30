"""Compound scaling: one coefficient phi scales every dimension (EfficientDet sec. 4).

This module has the paper's formulas and the released table (google/automl hparams_config.py). They differ from phi = 2
on, and no rounding rule gives the table, so the names d0 .. d7x and lite0 .. lite4 use the table.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from scalesearch.arch.backbone import EfficientNet, TimmBackbone, efficientnet_b
from scalesearch.arch.networks import bifpn, nasfpn
from scalesearch.arch.spec import Anchors, DetectorSpec


def round_width(width: float) -> int:
    """Round a searched width to the nearest multiple of 8, halves up, at least 8."""
    return max(8, math.floor(width / 8 + 0.5) * 8)


def round_size(size: float, step: int = 8) -> int:
    """Round a searched size to the nearest multiple of `step` pixels, halves up, at least `step`."""
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
        """Feature-network channels, rounded by `round_width`."""
        return round_width(self.width_base * self.width_factor**phi)

    def repeats(self, phi: float) -> int:
        """Cells, rounded down, at least 1."""
        return max(1, math.floor(self.repeats_base + self.repeats_step * phi + 1e-9))

    def head_depth(self, phi: float) -> int:
        """Convolutions in a head; the paper's floor(phi / 3) is floor(head_step * phi) here."""
        return max(0, math.floor(self.head_base + self.head_step * phi + 1e-9))

    def size(self, phi: float) -> int:
        """Side of the square input in pixels, rounded by `round_size`."""
        return round_size(self.size_base + self.size_step * phi)


@dataclass(frozen=True)
class _Published:
    backbone: EfficientNet
    size: int
    width: int
    repeats: int
    head_depth: int
    fusion: str = "fast"
    activation: str = "silu"
    anchor_scale: float = 4.0
    max_level: int = 7


def _d(
    phi: int, size: int, width: int, repeats: int, head_depth: int, fusion: str = "fast", **other: Any
) -> _Published:
    return _Published(efficientnet_b(phi), size, width, repeats, head_depth, fusion, **other)


def _lite(phi: int, size: int, width: int, repeats: int, head_depth: int, anchor_scale: float = 3.0) -> _Published:
    backbone = dataclasses.replace(efficientnet_b(phi), lite=True)
    return _Published(backbone, size, width, repeats, head_depth, "sum", "relu6", anchor_scale)


PUBLISHED = {  # google/automl hparams_config.py; d6 and larger fuse by plain sum "for stability"
    "d0": _d(0, 512, 64, 3, 3),
    "d1": _d(1, 640, 88, 4, 3),
    "d2": _d(2, 768, 112, 5, 3),
    "d3": _d(3, 896, 160, 6, 4),
    "d4": _d(4, 1024, 224, 7, 4),
    "d5": _d(5, 1280, 288, 7, 4),
    "d6": _d(6, 1280, 384, 8, 5, "sum"),
    "d7": _d(6, 1536, 384, 8, 5, "sum", anchor_scale=5.0),
    "d7x": _d(7, 1536, 384, 8, 5, "sum", max_level=8),
    "lite0": _lite(0, 320, 64, 3, 3),
    "lite1": _lite(1, 384, 88, 4, 3),
    "lite2": _lite(2, 448, 112, 5, 3),
    "lite3": _lite(3, 512, 160, 6, 4, anchor_scale=4.0),
    "lite3x": _lite(3, 640, 200, 6, 4),
    "lite4": _lite(4, 640, 224, 7, 4, anchor_scale=4.0),
}


def named(name: str, *, classes: int = 90, size: tuple[int, int] | None = None) -> DetectorSpec:
    """Return a published detector, `d0` .. `d7x` or `lite0` .. `lite4`, at its own size unless `size` (h, w) is given.

    Raises ValueError for another name.
    """
    if name not in PUBLISHED:
        raise ValueError(f"a named detector is one of {', '.join(PUBLISHED)}, but got {name!r}")
    row = PUBLISHED[name]
    return DetectorSpec(
        size=size or (row.size, row.size),
        classes=classes,
        backbone=row.backbone,
        topology=bifpn(max_level=row.max_level, fusion=row.fusion),
        repeats=row.repeats,
        width=row.width,
        head_width=row.width,
        head_depth=row.head_depth,
        activation=row.activation,
        anchors=Anchors(scale=row.anchor_scale),
        normalisation="half" if row.backbone.lite else "imagenet",
    )


def retinanet_nasfpn(*, classes: int = 90, size: tuple[int, int] = (640, 640), width: int = 256) -> DetectorSpec:
    """Return NAS-FPN's own detector: RetinaNet with ResNet-50 and seven cells (tensorflow/tpu, detection/modeling).

    Each backbone level has one 1x1 convolution and norm. P6 and P7 are max-pools of the projected P5 with
    kernel = stride. Full 3x3 convolutions follow ReLU, four of them in each head. All convolutions have biases,
    as the source keeps TensorFlow's default. The backbone is timm's: call scalesearch.resolve(spec) to price it.
    """
    return DetectorSpec(
        size=size,
        classes=classes,
        backbone=TimmBackbone(name="resnet50"),
        topology=nasfpn(),
        repeats=7,
        width=width,
        head_width=width,
        head_depth=4,
        activation="relu",
        laterals="level",
        extra_levels="pool",
        down="max_tight",
        separable=False,
    )


def compound(
    phi: float,
    coefficients: Compound | None = None,
    *,
    base: DetectorSpec | None = None,
    backbone: EfficientNet | None = None,
) -> DetectorSpec:
    """Return the detector that the formulas give at `phi`: `base` (default d0) with its five dimensions replaced.

    The default backbone is EfficientNet-B`round(phi)`; ValueError then for phi outside 0..7.
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
