"""The search space: named axes, and the mapping from a point on them to a `DetectorSpec`.

A point is a flat dict {axis: value} over the axes that vary; constants belong to the space. A
dimension (width, repeats, head_depth, size) is either an axis of its own or computed from phi by its
compound coefficients (`arch/scaling.py`), never both. A backbone scales with phi by its name: efficientnet_b{phi}.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Any

from scalesearch.arch import backbone as backbones
from scalesearch.arch.genes import Genes
from scalesearch.arch.networks import TOPOLOGIES
from scalesearch.arch.scaling import Compound, round_size
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.arch.topology import FUSIONS, Topology

AxisValue = str | int | float
Point = dict[str, AxisValue]

WORDS = ("backbone", "topology", "fusion")
"""Axes whose values are names, without an order."""
INTEGERS = ("size", "width", "repeats", "head_depth", "min_level", "max_level")
COEFFICIENTS = tuple(item.name for item in dataclasses.fields(Compound))
NUMBERS = (*INTEGERS, "aspect", "phi", *COEFFICIENTS)
AXES = (*WORDS, *NUMBERS)
"""Every axis that a space may have."""

OWN = "own"
"""The value of the axis fusion that keeps each network's own: fast, NAS-FPN's sum, those of a user's graph.
Any other value is the fusion of every node that is no gate."""
FREE = "free"
"""The topology of a space with genes, unless a point names another, as a baseline does."""

DEFAULTS: Point = {"topology": "bifpn", "fusion": OWN, "min_level": 3, "max_level": 7, "aspect": 1.0}
"""The values of axes that a space does not name. size is the longer side of the input in pixels,
aspect its height / width."""

Frame = tuple[tuple[int, int], int, int]
"""The input that anchors are fitted for, and a timm backbone measured at: (height, width), min_level, max_level."""

PHI = "{phi}"
"""The placeholder for phi in the name of a backbone: efficientnet_b{phi} scales with the other dimensions."""

_COMPOUND_OF = {
    "width": ("width_base", "width_factor"),
    "repeats": ("repeats_base", "repeats_step"),
    "head_depth": ("head_base", "head_step"),
    "size": ("size_base", "size_step"),
}


def shown(point: Mapping[str, AxisValue]) -> str:
    """Return the point as one line; genes are only mentioned, since a graph is drawn, not listed."""
    words = [f"{name} {value}" for name, value in point.items() if "." not in name]
    return ", ".join([*words, FREE + " graph"] if len(words) < len(point) else words)


@dataclass(frozen=True)
class Choices:
    """An axis as a list of values, in the order given; a single value is a constant."""

    values: tuple[AxisValue, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values or len(set(self.values)) != len(self.values):
            raise ValueError(f"an axis needs at least one value and none twice, but got {list(self.values)}")

    @property
    def named(self) -> bool:
        """Whether its values are names, without an order."""
        return isinstance(self.values[0], str)

    @cached_property
    def ordered(self) -> tuple[AxisValue, ...]:
        """The values: numbers ascending, names as given."""
        return self.values if self.named else tuple(sorted(self.values, key=float))

    @cached_property
    def ranks(self) -> dict[AxisValue, int]:
        """The index of each value in `ordered`."""
        return {value: rank for rank, value in enumerate(self.ordered)}


def steps(low: float, high: float, step: float) -> Choices:
    """Return low, low + step, ... up to high (included if a step falls on it); ValueError for an empty range."""
    if not (step > 0 and low <= high):
        raise ValueError(f"a range needs low <= high and step > 0, but got low {low}, high {high}, step {step}")
    count = math.floor((high - low) / step + 1e-9) + 1
    values = [round(low + i * step, 10) for i in range(count)]
    whole = all(float(v).is_integer() for v in (low, step))
    return Choices(tuple(int(v) if whole else v for v in values))


@dataclass(frozen=True, kw_only=True)
class Space:
    """The search space of a study. Raises ValueError for axes or values that no detector can have.

    axes: by name. fixed: fields of `DetectorSpec` that all candidates share and that are no axes.
    anchors: the same for all, or fitted for each frame (size and levels) in the space.
    measured: resolved timm backbones by name, min_level and max_level; needed before prices.
    normalisations: by backbone, the normalisation that its pretrained weights need, in place of that of `fixed`.
    graphs: a user's feature networks by their name on the axis topology. Each keeps its own levels.
    genes: free graphs in place of the axis topology; each gene is an axis that varies, after all others.
    """

    axes: Mapping[str, Choices]
    classes: int
    fixed: Mapping[str, Any] = field(default_factory=dict)
    anchors: Anchors | Mapping[Frame, Anchors] = field(default_factory=Anchors)
    measured: Mapping[tuple[str, int, int], backbones.Backbone] = field(default_factory=dict)
    normalisations: Mapping[str, str] = field(default_factory=dict)
    graphs: Mapping[str, Topology] = field(default_factory=dict)
    genes: Genes | None = None

    def __post_init__(self) -> None:
        for name, axis in self.axes.items():
            _check_axis(name, axis, (*TOPOLOGIES, *self.graphs))
        if "backbone" not in self.axes:
            raise ValueError("a space needs the axis backbone, for example backbone: efficientnet_b0")
        for name, coefficients in _COMPOUND_OF.items():
            given = [axis for axis in coefficients if axis in self.axes]
            if name in self.axes and given:
                raise ValueError(f"a space has {name} or its coefficients, but got both {name} and {given[0]}")
            if name not in self.axes and not given:
                raise ValueError(
                    f"a space needs the axis {name}, or {' and '.join(coefficients)} for phi to scale it by"
                )
        if self.genes:
            self._check_genes(self.genes)
        else:
            self._check_topologies()

    def _check_genes(self, genes: Genes) -> None:
        """Raise ValueError if an axis contradicts the genes."""
        for name in ("topology", "fusion"):
            if name in self.axes:
                raise ValueError(f"the genes say what the {name} is, but the space has an axis {name} too; drop it")
        for name, level in zip(("min_level", "max_level"), genes.levels, strict=True):
            if (values := self.axes.get(name, Choices((DEFAULTS[name],))).values) != (level,):
                raise ValueError(
                    f"the genes are of graphs over the levels {genes.levels[0]}..{genes.levels[1]}, "
                    f"so {name} must be {level}, but got {', '.join(map(str, values))}"
                )

    def _check_topologies(self) -> None:
        """Raise ValueError if a network does not exist for levels or a fusion in the space."""
        names = ("topology", "min_level", "max_level", "fusion")
        for values in product(*(self.axes.get(name, Choices((DEFAULTS[name],))).values for name in names)):
            at: Point = dict(zip(names, values, strict=True))
            low, high = span = self._span(at)
            asked = tuple(
                int(at[name]) if name in self.axes else own for name, own in (("min_level", low), ("max_level", high))
            )
            if asked != span:
                raise ValueError(
                    f"the topology {at['topology']} is a graph of the levels {low}..{high}, but the space asks for "
                    f"{asked[0]}..{asked[1]}; leave min_level and max_level out, or the graph"
                )
            if low < high:
                self._topology(at)

    @property
    def free(self) -> dict[str, Choices]:
        """The axes that vary, in the order of `AXES`, then the genes. A point has exactly these."""
        varied = {name: self.axes[name] for name in AXES if name in self.axes and len(self.axes[name].values) > 1}
        return varied | self._gene_axes

    @property
    def count(self) -> int:
        """The number of points."""
        return math.prod(len(axis.values) for axis in self.free.values())

    def points(self) -> Iterator[Point]:
        """Yield every point, the last axis varying fastest."""
        names = list(self.free)
        for values in product(*(axis.values for axis in self.free.values())):
            yield dict(zip(names, values, strict=True))

    def spec(self, point: Mapping[str, AxisValue], **given: AxisValue) -> DetectorSpec:
        """Return the detector at `point`; `given` axes (a family member's phi, a solved size) override it.

        ValueError if a needed axis is in neither, or a value is out of range for a detector.
        """
        at: Point = {**DEFAULTS, **self._constants, **point, **given}
        width, topology, size = self._dimension("width", at), self._topology(at), self._size(at)
        name = self._backbone(at)
        anchors = self.anchors
        if not isinstance(anchors, Anchors):
            anchors = anchors[size, topology.min_level, topology.max_level]
        return DetectorSpec(
            size=size,
            classes=self.classes,
            backbone=self.measured.get((name, topology.min_level, topology.max_level)) or backbones.parse(name),
            topology=topology,
            repeats=self._dimension("repeats", at),
            width=width,
            head_width=width,
            head_depth=self._dimension("head_depth", at),
            anchors=anchors,
            **{**self.fixed, **({"normalisation": own} if (own := self.normalisations.get(name)) else {})},
        )

    @cached_property
    def scales_backbone(self) -> bool:
        """Whether a backbone scales with phi."""
        return any(PHI in str(name) for name in self.axes["backbone"].values)

    def backbones(self, **given: Sequence[AxisValue]) -> list[str]:
        """Return the name of every backbone in the space; `given` axes as for `spec`."""
        axes = {name: self.axes[name].values for name in ("backbone", "phi") if name in self.axes} | given
        found = (self._backbone(dict(zip(axes, values, strict=True))) for values in product(*axes.values()))
        return list(dict.fromkeys(found))

    def frames(self, **given: Sequence[AxisValue]) -> list[Frame]:
        """Return every (size, min_level, max_level) in the space; `given` axes as for `spec`."""
        names = ("size", "size_base", "size_step", "phi", "aspect", "topology", "min_level", "max_level")
        axes = {name: self.axes[name].values for name in names if name in self.axes} | given
        found: dict[Frame, None] = {}
        for values in product(*axes.values()):
            at: Point = {**DEFAULTS, **dict(zip(axes, values, strict=True))}
            found[self._size(at), *self._span(at)] = None
        return list(found)

    @cached_property
    def _gene_axes(self) -> dict[str, Choices]:
        return {name: Choices(choices) for name, choices in self.genes.choices.items()} if self.genes else {}

    @cached_property
    def _constants(self) -> Point:
        constants = {name: axis.values[0] for name, axis in self.axes.items() if len(axis.values) == 1}
        return constants | ({"topology": FREE} if self.genes else {})

    def _backbone(self, at: Point) -> str:
        name = str(at["backbone"])
        if PHI not in name:
            return name
        if "phi" not in at:
            raise ValueError(f"the backbone {name} follows phi, but the space has no axis phi")
        return name.replace(PHI, f"{float(at['phi']):g}")

    def _size(self, at: Point) -> tuple[int, int]:
        side, aspect = self._dimension("size", at), float(at["aspect"])
        if aspect == 1:
            return side, side
        return (round_size(side * aspect), side) if aspect < 1 else (side, round_size(side / aspect))

    def _span(self, at: Point) -> tuple[int, int]:
        """Return the finest and the coarsest level."""
        if graph := self.graphs.get(str(at["topology"])):
            return graph.min_level, graph.max_level
        return int(at["min_level"]), int(at["max_level"])

    def _topology(self, at: Point) -> Topology:
        name, fusion = str(at["topology"]), str(at["fusion"])
        if self.genes and name == FREE:
            return self.genes.read(at)
        key = (self.graphs.get(name, name), *self._span(at), fusion)
        if key not in _topologies:
            own = self.graphs[name] if name in self.graphs else TOPOLOGIES[name](*self._span(at))
            _topologies[key] = own if fusion == OWN else own.fused(fusion)
        return _topologies[key]

    def _dimension(self, name: str, at: Point) -> int:
        if name in at:
            return int(at[name])
        if "phi" not in at:
            raise ValueError(f"{name} is scaled by phi, but the space has no axis phi")
        rule = Compound(**{key: float(at[key]) for key in COEFFICIENTS if key in at})
        dimension = {"width": rule.width, "repeats": rule.repeats, "head_depth": rule.head_depth, "size": rule.size}
        return dimension[name](float(at["phi"]))


_topologies: dict[tuple[str | Topology, int, int, str], Topology] = {}
"""One object for each graph: its hash is cached, and it is the key of `cost`'s caches of cells."""


def _check_axis(name: str, axis: Choices, topologies: Sequence[str]) -> None:
    if name not in AXES:
        raise ValueError(f"an axis is one of {', '.join(AXES)}, but got {name!r}")
    for value in axis.values:
        word = isinstance(value, str)
        if word != (name in WORDS) or isinstance(value, bool):
            raise ValueError(f"the axis {name} has {'names' if name in WORDS else 'numbers'}, but got {value!r}")
        if name in INTEGERS and not float(value).is_integer():
            raise ValueError(f"the axis {name} has whole numbers, but got {value!r}")
        if name == "aspect" and float(value) <= 0:
            raise ValueError(f"the axis aspect is an input's height / width, above 0, but got {value!r}")
    known: Mapping[str, Sequence[str]] = {"topology": topologies, "fusion": (OWN, *FUSIONS)}
    for value in axis.values if name in known else ():
        if value not in known[name]:
            raise ValueError(f"the axis {name} has {', '.join(known[name])}, but got {value!r}")
    if name == "backbone":
        for value in axis.values:
            if PHI not in str(value):  # else it takes phi to make a name
                backbones.parse(str(value))
