"""`DetectorSpec`: a detector as immutable, hashable data with a JSON form, every integer resolved.

YAML files, coefficients, presets and trials only serve to make one; everything else reads one.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any

from scalesearch.arch import backbone as backbones
from scalesearch.arch.backbone import Backbone
from scalesearch.arch.canonical import canonical
from scalesearch.arch.normalisation import NORMALISATIONS
from scalesearch.arch.structure import DOWN, UP, HeadStructure, NeckStructure
from scalesearch.arch.topology import Node, Topology
from scalesearch.inputs.quoting import quoted
from scalesearch.io.hashes import short_hash

CHOICES: dict[str, tuple[str, ...]] = {
    "padding": ("same", "symmetric"),
    "activation": ("silu", "relu", "relu6", "hard_swish"),
    "laterals": ("edge", "level"),
    "extra_levels": ("conv_pool", "pool"),
    "down": tuple(DOWN),
    "up": UP,
    "order": ("act_conv_norm", "conv_norm_act"),
    "backbone_padding": ("alike", "same", "symmetric"),
}
"""The choices of the fields of `DetectorSpec` that are words."""

LIMITS = {
    "size": (2**5, 2**14),
    "classes": (1, 100_000),
    "repeats": (1, 100),
    "width": (1, 8192),
    "head_width": (1, 8192),
    "head_depth": (0, 100),
}
"""The ranges of the integer fields of `DetectorSpec`, ends included; size's holds for each side."""

BACKBONE_TOP = 5
"""The coarsest level of a backbone, stride 32; coarser levels are made from it (`extra_levels`)."""

_R2 = math.sqrt(2.0)


@dataclass(frozen=True, kw_only=True)
class Anchors:
    """The anchor boxes at each position of a feature map: len(aspects) * octaves of them, octave-major.

    A box at stride s has width scale * s * 2**(k / octaves) * a and height ... * b for k < octaves and
    each (a, b) of `aspects`. The defaults are the published ones: ratios 1, 2, 1/2 at equal area.
    """

    scale: float = 4.0
    octaves: int = 3
    aspects: tuple[tuple[float, float], ...] = ((1.0, 1.0), (_R2, 1 / _R2), (1 / _R2, _R2))

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "scale", float(self.scale))
            object.__setattr__(self, "aspects", tuple((float(a), float(b)) for a, b in self.aspects))
        except (TypeError, ValueError):
            raise ValueError(
                f"anchors need a number as scale and (width, height) pairs as aspects, but got {quoted(self)}"
            ) from None
        if not (0 < self.scale < math.inf and type(self.octaves) is int and self.octaves >= 1 and self.aspects):
            raise ValueError(
                "anchors need scale > 0, octaves >= 1 and at least one aspect pair, octaves whole and scale finite, "
                f"but got {quoted(self)}"
            )
        if any(not 0 < factor < math.inf for pair in self.aspects for factor in pair):
            raise ValueError(f"anchor aspects must be positive (width, height) factors, but got {quoted(self.aspects)}")

    @property
    def per_cell(self) -> int:
        """Anchors at each position of a feature map."""
        return self.octaves * len(self.aspects)


@dataclass(frozen=True, kw_only=True)
class DetectorSpec:
    """One detector. The defaults are EfficientDet's published choices (google/automl).

    Raises ValueError for a value outside its range, naming the field.
    """

    size: tuple[int, int]
    """Input (height, width) in pixels; need not be a multiple of 2**l: the map of level l is ceil(size / 2**l)."""
    classes: int
    """Object classes; the heads have no background class."""
    backbone: Backbone
    topology: Topology
    """One cell; its levels are the detector's."""
    repeats: int
    """The number of cells, one after the other."""
    width: int
    """Channels of the feature network."""
    head_width: int
    head_depth: int
    """Convolutions before the predicting one, in the class head and in the box head."""
    padding: str = "same"
    """same: TensorFlow's, with the odd pixel at the bottom right; symmetric: PyTorch's k // 2."""
    backbone_padding: str = "alike"
    """Padding of an EfficientNet backbone, alike: as `padding`; a timm backbone has its own."""
    activation: str = "silu"
    """Activation of the feature network, heads and an EfficientNet backbone; a timm backbone has its own."""
    norm_eps: float = 1e-3
    backbone_norm_eps: float = 1e-3
    """A timm backbone keeps its own if this is the default."""
    norm_momentum: float = 0.01
    """Momentum of batch norms as in PyTorch (weight of the new batch); 0.01 is TensorFlow's 0.99."""
    bias_before_norm: bool = True
    """Whether convolutions before a batch norm have biases; the official model has these redundant ones."""
    laterals: str = "edge"
    """edge: each edge that reads a backbone map has its own 1x1 convolution; level: each level has one."""
    lateral_at_equal_width: bool = False
    """Whether a map that already has `width` channels has that 1x1 convolution (published: no)."""
    extra_levels: str = "conv_pool"
    """How levels above the backbone's are made: conv_pool: a 1x1 convolution of its own on the coarsest map, then
    `down` level after level; pool: `down` from the coarsest level's lateral on (NAS-FPN)."""
    down: str = "max"
    """max: max-pool, kernel = stride + 1; max_tight: kernel = stride; avg: average-pool, kernel = stride;
    bilinear: interpolation without antialiasing."""
    up: str = "nearest"
    separable: bool = True
    """Whether nodes and heads use a depthwise 3x3 and a pointwise convolution; False: full 3x3."""
    order: str = "act_conv_norm"
    """The order within a node after its fusion. Heads are always convolution, norm, activation."""
    anchors: Anchors = Anchors()
    normalisation: str = "imagenet"
    """Normalisation of the images, one of NORMALISATIONS; half: by 127 and 128 of 255, as for the published lite and
    AdvProp detectors. With pretrained weights, the one that they were trained with."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _sides(self.size))
        _check_fields(self)
        if self.topology.min_level > BACKBONE_TOP:
            raise ValueError(
                f"a backbone's coarsest map is of level {BACKBONE_TOP} and a detector reads at least one, so min_level "
                f"must be at most {BACKBONE_TOP}, but got {self.topology.min_level}"
            )
        if self.extra_levels == "pool" and self.laterals != "level" and self.topology.max_level > BACKBONE_TOP:
            raise ValueError(
                "extra_levels: pool reads the one lateral of the coarsest backbone level, so it needs "
                f"laterals: level, but got laterals: {self.laterals}"
            )

    @property
    def levels(self) -> range:
        """Pyramid levels of the feature network, finest first."""
        return self.topology.levels

    @property
    def backbone_levels(self) -> range:
        """The levels that come from the backbone."""
        return range(self.topology.min_level, min(self.topology.max_level, BACKBONE_TOP) + 1)

    @property
    def backbone_same(self) -> bool:
        """Whether an EfficientNet backbone has TensorFlow's padding."""
        return (self.padding if self.backbone_padding == "alike" else self.backbone_padding) == "same"

    @cached_property
    def neck(self) -> NeckStructure:
        """The layers of the feature network."""
        return NeckStructure(
            topology=self.topology,
            backbone_levels=self.backbone_levels,
            laterals=self.laterals,
            extra_levels=self.extra_levels,
            down=self.down,
            up=self.up,
            activation=self.activation,
            act_first=self.order == "act_conv_norm",
            separable=self.separable,
            bias=self.bias_before_norm,
        )

    @cached_property
    def heads(self) -> HeadStructure:
        """The layers of the heads."""
        return HeadStructure(self.levels, self.activation, self.separable, self.bias_before_norm)

    def has_lateral(self, level: int) -> bool:
        """Whether the backbone's map of `level` has a 1x1 convolution: EfficientDet drops it at equal width."""
        return self.lateral_at_equal_width or self.backbone.channels(level) != self.width

    def map_size(self, level: int) -> tuple[int, int]:
        """(h, w) of the feature map at `level`: the size, halved and rounded up `level` times."""
        return -(-self.size[0] >> level), -(-self.size[1] >> level)

    @cached_property
    def id(self) -> str:
        """Twelve hex digits: a hash of `to_dict` with the topology in canonical form.

        Fields with their default value are left out, so a field that is added later changes no id.
        """
        data = to_dict(self) | {"topology": topology_to_dict(canonical(self.topology))}
        text = json.dumps(data, sort_keys=True, separators=(",", ":"))
        return short_hash(text)


def _sides(size: Any) -> tuple[int, int]:
    """Return (height, width) as integers; ValueError for anything but two whole numbers in range."""
    sides = tuple(size) if isinstance(size, Sequence) else (size,)
    if len(sides) != 2 or not all(isinstance(side, Integral) for side in sides):
        raise ValueError(f"size must be (height, width) in whole pixels, but got {quoted(size)}")
    height, width = map(int, sides)
    low, high = LIMITS["size"]
    if not low <= min(height, width) <= max(height, width) <= high:
        raise ValueError(f"size must have {low} <= height, width <= {high}, but got {(height, width)}")
    return height, width


_KINDS: dict[str, tuple[Any, str]] = {
    "backbone": (Backbone, "an EfficientNet or a TimmBackbone; arch.backbone.parse makes one of a name"),
    "topology": (Topology, "a Topology; arch.networks makes the published ones"),
    "anchors": (Anchors, "an Anchors"),
    **dict.fromkeys(("bias_before_norm", "lateral_at_equal_width", "separable"), (bool, "True or False")),
}
"""The fields of `DetectorSpec` that are neither numbers nor words."""


def _check_fields(spec: DetectorSpec) -> None:
    """Raise ValueError for the first field, other than size, of a wrong type or value."""
    for name, (kind, said) in _KINDS.items():
        if not isinstance(value := getattr(spec, name), kind):
            raise ValueError(f"{name} must be {said}, but got {quoted(value)}")  # noqa: TRY004 - ValueError is users'
    for name, (low, high) in LIMITS.items():
        if name != "size" and (type(value := getattr(spec, name)) is not int or not low <= value <= high):
            raise ValueError(f"{name} must be an integer with {low} <= {name} <= {high}, but got {quoted(value)}")
    for name, words in (*CHOICES.items(), ("normalisation", tuple(NORMALISATIONS))):
        if (value := getattr(spec, name)) not in words:
            raise ValueError(f"{name} must be one of {', '.join(words)}, but got {quoted(value)}")
    for name in ("norm_eps", "backbone_norm_eps", "norm_momentum"):
        if not isinstance(value := getattr(spec, name), float) or not 0 < value < 1:
            raise ValueError(f"{name} must be in (0, 1), but got {quoted(value)}")


def to_dict(spec: DetectorSpec) -> dict[str, Any]:
    """Return plain JSON data without the fields that have their default; `from_dict` is the inverse."""
    data: dict[str, Any] = {}
    for item in dataclasses.fields(spec):
        value = getattr(spec, item.name)
        if item.name == "backbone":
            value = backbones.to_dict(value)
        elif item.name == "topology":
            value = topology_to_dict(value)
        elif value == item.default:
            continue
        elif item.name == "anchors":
            value = _anchors_to_dict(value)
        elif item.name == "size":
            value = list(value)
        data[item.name] = value
    return data


def from_dict(data: Mapping[str, Any]) -> DetectorSpec:
    """Invert `to_dict`; ValueError names an unknown or missing field, or a bad value."""
    if not isinstance(data, Mapping):
        raise ValueError(f"a detector is a mapping of its fields, but got {quoted(data)}")  # noqa: TRY004 - users'
    fields = {item.name: item for item in dataclasses.fields(DetectorSpec)}
    if unknown := sorted(set(data) - set(fields)):
        raise ValueError(f"a detector has the fields {', '.join(fields)}, but got {quoted(unknown[0])}")
    needed = [n for n, item in fields.items() if item.default is dataclasses.MISSING]
    if missing := [name for name in needed if name not in data]:
        raise ValueError(f"a detector needs the field {missing[0]!r}")
    values = dict(data)
    values["backbone"] = backbones.from_dict(values["backbone"])
    values["topology"] = _topology_from_dict(values["topology"])
    if "anchors" in values:
        values["anchors"] = _anchors_from_dict(values["anchors"])
    return DetectorSpec(**values)


def topology_to_dict(topology: Topology) -> dict[str, Any]:
    """Return `{"levels": [3, 7], "nodes": [[6, [3, 4], "fast"], ...]}`, also the form of a user's graph file."""
    nodes = [[node.level, list(node.inputs), node.fusion] for node in topology.nodes]
    return {"levels": [topology.min_level, topology.max_level], "nodes": nodes}


def _topology_from_dict(data: Mapping[str, Any]) -> Topology:
    try:
        low, high = data["levels"]
        nodes = tuple(Node(level, tuple(inputs), fusion) for level, inputs, fusion in data["nodes"])
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f"a topology is {{levels: [finest, coarsest], nodes: [[level, [inputs], fusion], ...]}}, but got {quoted(data)}"
        ) from None
    return Topology(low, high, nodes)


def _anchors_from_dict(data: Mapping[str, Any]) -> Anchors:
    names = [item.name for item in dataclasses.fields(Anchors)]
    if not isinstance(data, Mapping) or set(data) - set(names):
        raise ValueError(f"anchors have {', '.join(names)}, but got {quoted(data)}")
    return Anchors(**data)


def _anchors_to_dict(anchors: Anchors) -> dict[str, Any]:
    data = {"scale": anchors.scale, "octaves": anchors.octaves, "aspects": [list(p) for p in anchors.aspects]}
    default = Anchors()
    return {name: value for name, value in data.items() if getattr(anchors, name) != getattr(default, name)}
