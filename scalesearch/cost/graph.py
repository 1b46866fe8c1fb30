"""A network as operators over symbolic maps: what every figure of `cost/` is a fold over.

A map's size is a number of channels, in symbols that stand for integers or for arrays of them, at pyramid levels whose
areas do too. So one graph holds for any size, width and depth. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

ONE = -1
"""The level of a single position: a pooled map. Level 0 is the image."""

KEEP_INPUTS = {"conv", "product", "max_pool", "avg_pool", "amax", "scale"}
"""Operators whose backward keeps the maps that they read; a fusion says so itself (`topology.Fusion`)."""


class Map(NamedTuple):
    """`channels` times `symbol` channels at every position of some pyramid levels."""

    levels: tuple[int, ...]
    channels: int
    symbol: str = ""
    """`width`, `head`, ...: a name that `evaluate` is given the value of; "" is 1."""


@dataclass(frozen=True, eq=False)
class Op:
    """One operator, wherever it stands: two of a network that are alike are one object."""

    part: str
    """backbone, neck, class_head or box_head; of a backbone with the module that it is of: backbone.blocks.0."""
    name: str
    """As `Operator.name`."""
    source: Map
    """A map that is read."""
    target: Map
    """The map that is written."""
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False
    bias: bool = False
    norm: bool = False
    """Whether a batch norm of its own follows."""
    after: str = ""
    """The activation that follows; of `activation`, which one."""
    shared: bool = False
    """Whether weights and bias were counted at an earlier use."""
    learned: tuple[int, str] = (0, "")
    """Parameters of a fusion: a number of a symbol."""
    keeps: bool = False
    """Whether backward keeps the maps that it reads."""
    inner: Graph | None = None
    """A graph of one output that this stands for, its inputs first among its maps: many nodes of a feature network are
    alike, and are unrolled and added up once. `Graph.flat` puts its operators in."""


_interned = lru_cache(maxsize=2**16)(Op)


class Step(NamedTuple):
    """An operator in its place: the numbers of the maps that it reads, and of the one that it makes."""

    op: Op
    reads: tuple[int, ...]
    makes: int
    times: str
    """The symbol that says how often it is there; "" is once."""


@dataclass(eq=False)
class Graph:
    """Operators in the order in which they run. Maps are numbered; those that no step makes are inputs."""

    maps: list[Map] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    part: str = ""
    """Of the operators that are added next."""
    times: str = ""
    """Of the operators that are added next."""

    def start(self, levels: tuple[int, ...], channels: int, symbol: str = "") -> int:
        """An input."""
        self.maps.append(Map(levels, channels, symbol))
        return len(self.maps) - 1

    def add(self, name: str, reads: tuple[int, ...], target: Map, **how: Any) -> int:
        """An operator with fields of `Op`; the number of its map."""
        # A join reads maps of some levels each, as one of all of them.
        source = target if name == "concat" else self.maps[reads[0]]
        how.setdefault("keeps", name in KEEP_INPUTS)
        return self.place(_interned(self.part, name, source, target, **how), reads)

    def conv(self, x: int, target: Map, **how: Any) -> int:
        """A convolution of one map."""
        return self.add("conv", (x,), target, **how)

    def place(self, op: Op, reads: tuple[int, ...]) -> int:
        """An operator that was made already; the number of its map."""
        self.steps.append(Step(op, reads, len(self.maps), self.times))
        self.maps.append(op.target)
        return len(self.maps) - 1

    def flat(self) -> Graph:
        """The same, of operators that stand for themselves alone."""
        found, made = Graph(), {step.makes for step in self.steps}
        number = {x: found.start(*self.maps[x]) for x in range(len(self.maps)) if x not in made}
        for op, reads, makes, found.times in self.steps:
            places = [number[x] for x in reads]
            if op.inner:
                for step in op.inner.steps:
                    places.append(found.place(step.op, tuple([places[x] for x in step.reads])))
                number[makes] = places[op.inner.outputs[0]]
            else:
                number[makes] = found.place(op, tuple(places))
        found.times, found.outputs = "", [number[x] for x in self.outputs]
        return found

    def live(self) -> list[bool]:
        """Of every step whether an output depends on it."""
        wanted, found = set(self.outputs), []
        for step in reversed(self.steps):
            found.append(step.makes in wanted)
            if found[-1]:
                wanted.update(step.reads)
        return found[::-1]
