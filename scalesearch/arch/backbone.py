"""Backbones as data: an EfficientNet of any width and depth as stages, or a timm model by name.

An `EfficientNet` is priced in closed form. A `TimmBackbone` is known only to timm: `profile/`
measures it once. The results are kept in `measured`, which is no part of its identity.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from numbers import Real
from typing import Any, NamedTuple

from scalesearch.arch.operator import Operator
from scalesearch.inputs.quoting import quoted


class Stage(NamedTuple):
    """A sequence of equal blocks; the first has stride `stride`, the others 1 (EfficientNet Table 1)."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)
"""The stages of EfficientNet-B0."""
_STEM = 32
SE_RATIO = 0.25
"""Squeeze-and-excitation: squeezed channels as a share of the block's INPUT channels."""


@dataclass(frozen=True, kw_only=True)
class EfficientNet:
    """EfficientNet without its head convolution, scaled by `width` and `depth` (B0 is 1.0, 1.0).

    `lite` is the mobile variant: no squeeze-and-excitation, relu6, and the stem, first and last stage
    are not scaled (google/automl efficientnet_lite_builder.py).
    Raises ValueError for a coefficient that is no number in (0, 16], or a lite that is not True or False.
    """

    width: float = 1.0
    depth: float = 1.0
    lite: bool = False

    def __post_init__(self) -> None:
        for name, value in (("width", self.width), ("depth", self.depth)):
            if not isinstance(value, Real) or not 0 < value <= 16:
                raise ValueError(f"an EfficientNet's {name} must be in (0, 16], but got {quoted(value)}")
            object.__setattr__(self, name, float(value))
        if not isinstance(self.lite, bool):
            raise ValueError(f"an EfficientNet's lite must be True or False, but got {self.lite!r}")  # noqa: TRY004

    @property
    def name(self) -> str:
        """The name in reports: `efficientnet-w1.1-d1.2`, `efficientnet-lite-...` for lite variants."""
        return f"efficientnet{'-lite' if self.lite else ''}-w{self.width:g}-d{self.depth:g}"

    @property
    def stem(self) -> int:
        """Output channels of the stride-2 stem."""
        return _STEM if self.lite else round_channels(_STEM * self.width)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The seven stages with their channels and repeats resolved to integers."""
        return self.cut(5)

    def cut(self, level: int) -> tuple[Stage, ...]:
        """The stages up to the feature map of pyramid level `level` (1..5)."""
        return _cuts(self)[level]

    def channels(self, level: int) -> int:
        """Channels of the last block at stride 2**level, level 1..5."""
        return _cuts(self)[level][-1].channels


@lru_cache(maxsize=4096)
def _cuts(backbone: EfficientNet) -> dict[int, tuple[Stage, ...]]:
    """The stages up to the last one at stride 2**level, by level 1..5."""
    scaled: list[Stage] = []
    cuts: dict[int, tuple[Stage, ...]] = {}
    level = 1
    for i, stage in enumerate(STAGES):
        kept = backbone.lite and i in (0, len(STAGES) - 1)
        repeats = stage.repeats if kept else max(1, math.ceil(round(stage.repeats * backbone.depth, 6)))
        channels = round_channels(stage.channels * backbone.width)
        scaled.append(Stage(repeats, stage.kernel, stage.stride, stage.expansion, channels))
        level += stage.stride == 2
        cuts[level] = tuple(scaled)
    return cuts


def squeeze(c_in: int) -> int:
    """Squeezed channels in the squeeze-and-excitation of a block with `c_in` input channels."""
    return max(1, int(c_in * SE_RATIO))


def round_channels(channels: float, divisor: int = 8) -> int:
    """Nearest multiple of `divisor`, never under 90 % of `channels` (EfficientNet's round_filters)."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


class BackboneMemory(NamedTuple):
    """Memory of a backbone for one image, in float32 numbers."""

    peak: int
    """The largest sum of live maps in inference."""
    kept: int
    """Numbers kept for the backward pass, including the output maps."""
    norms: int
    """Channels of all batch norms."""


@dataclass(frozen=True)
class Measured:
    """The measurements of a timm model by `profile.resolve`, which says how they are made.

    channels: by pyramid level. params: trainable parameters. macs, activations: by input size (h, w).
    timm: the version of timm. operators: by input size, the backbone's operators as `cost.operators` lists them.
    """

    channels: Mapping[int, int]
    params: int
    macs: Mapping[tuple[int, int], int]
    activations: Mapping[tuple[int, int], int]
    timm: str
    memory: Mapping[tuple[int, int], BackboneMemory | None] = field(default_factory=dict)
    """By input size; None for a size that the model cannot be trained at."""
    operators: Mapping[tuple[int, int], tuple[Operator, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TimmBackbone:
    """A timm model that supports `features_only`, by its timm name."""

    name: str
    measured: Measured | None = field(default=None, compare=False, repr=False)

    def channels(self, level: int) -> int:
        """Channels of the feature map at stride 2**level; ValueError for a level that was not measured."""
        known = self.known.channels
        if level not in known:
            raise ValueError(
                f"the backbone {self.name!r} was measured at levels {', '.join(map(str, known))}, not at {level}; "
                "call scalesearch.resolve(spec) with the spec that reads it"
            )
        return known[level]

    @property
    def known(self) -> Measured:
        """The measurements; ValueError, with the remedy, if there are none yet."""
        if self.measured is None:
            raise ValueError(
                f"the backbone {self.name!r} is known only to timm and has not been measured; "
                "call scalesearch.resolve(spec) first"
            )
        return self.measured


Backbone = EfficientNet | TimmBackbone

B = {  # EfficientNet-B0 .. B7: (width, depth), google/automl efficientnet_builder.py
    0: (1.0, 1.0),
    1: (1.0, 1.1),
    2: (1.1, 1.2),
    3: (1.2, 1.4),
    4: (1.4, 1.8),
    5: (1.6, 2.2),
    6: (1.8, 2.6),
    7: (2.0, 3.1),
}


def efficientnet_b(phi: int) -> EfficientNet:
    """EfficientNet-B`phi`, phi in 0..7; ValueError otherwise."""
    if phi not in B:
        raise ValueError(f"EfficientNet-B goes from 0 to 7, but got {phi}")
    width, depth = B[phi]
    return EfficientNet(width=width, depth=depth)


CLOSED_FORM: dict[str, Callable[..., Backbone]] = {"efficientnet": EfficientNet}
"""The backbones that are priced without a measurement, by their name in JSON; their fields are the parameters."""


def to_dict(backbone: Backbone) -> dict[str, Any]:
    """Return plain JSON data without the measurements and without fields that are False; `from_dict` is the inverse."""
    if isinstance(backbone, TimmBackbone):
        return {"timm": backbone.name}
    name = next(name for name, kind in CLOSED_FORM.items() if kind is type(backbone))
    return {name: {key: value for key, value in asdict(backbone).items() if value is not False}}


def from_dict(data: Mapping[str, Any]) -> Backbone:
    """Invert `to_dict`; ValueError for anything else."""
    match list(data.items()) if isinstance(data, Mapping) else None:
        case [("timm", str(name))]:
            return TimmBackbone(name=name)
        case [(name, dict(values))] if kind := CLOSED_FORM.get(name):
            known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
            if unknown := sorted(set(values) - set(known)):
                raise ValueError(f"an {name} has {', '.join(known[:-1])} and {known[-1]}, but got {unknown[0]!r}")
            return kind(**values)
    raise ValueError(f"a backbone is {{timm: NAME}} or {{efficientnet: {{width:, depth:}}}}, but got {quoted(data)}")


def parse(text: str) -> Backbone:
    """Return the backbone of a plan's short form: `efficientnet_b3`, `efficientnet-w0.5-d0.5`, or a timm name.

    `efficientnet_b0` .. `_b7` are this project's closed-form ones, with the same stages as timm's.
    """
    if text.startswith("efficientnet_b") and text[14:].isdigit() and len(text) == 15:
        return efficientnet_b(int(text[14:]))
    if text.startswith(("efficientnet-w", "efficientnet-lite-w")):
        lite = text.startswith("efficientnet-lite-")
        try:
            width, depth = text.rsplit("-w", 1)[1].split("-d")
            return EfficientNet(width=float(width), depth=float(depth), lite=lite)
        except ValueError as error:
            raise ValueError(
                f"a scaled EfficientNet is written efficientnet-w<width>-d<depth>, but got {text!r} ({error})"
            ) from None
    return TimmBackbone(name=text)
