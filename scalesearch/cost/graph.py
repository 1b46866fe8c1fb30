"""A network as a graph of operators over symbolic maps, from which every metric of `cost/` is computed.

The size of a map is a number of channels, in symbols, at pyramid levels. Symbols and areas of levels stand for integers
or arrays of integers, so one graph holds for any size, width and depth. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

ONE = -1
"""The level of a single position: a pooled map. Level 0 is the image."""

KEEP_INPUTS = {"conv", "product", "max_pool", "avg_pool", "amax", "scale"}
"""Operators whose inputs are kept for the backward pass; fusions have `topology.Fusion.keeps`."""


class Map(NamedTuple):
    """A map with `channels` times `symbol` channels at every position of some pyramid levels."""

    levels: tuple[int, ...]
    channels: int
    symbol: str = ""
    """`width`, `head`, ...: a name with a value in `evaluate_terms`; "" is 1."""


@dataclass(frozen=True, eq=False)
class Op:
    """One operator without its place: equal operators of a network are one object."""

    part: str
    """backbone, neck, class_head or box_head; in a backbone with the module's name: backbone.blocks.0."""
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
    """The activation that follows; for `activation`, its kind."""
    shared: bool = False
    """Whether weights and bias were counted at an earlier use."""
    learned: tuple[int, str] = (0, "")
    """Parameters of a fusion: a count times a symbol."""
    keeps: bool = False
    """Whether its inputs are kept for the backward pass."""
    inner: Graph | None = None
    """The graph of one output that this stands for, its inputs first among its maps. Many nodes of a feature network
    are equal, and are unrolled and summed once. `Graph.flat` replaces the operator by those of the graph."""


_interned = lru_cache(maxsize=2**16)(Op)


class Step(NamedTuple):
    """An operator in its place: the numbers of the maps that it reads and of the map that it makes."""

    op: Op
    reads: tuple[int, ...]
    makes: int
    times: str
    """The symbol for how often it occurs; "" is once."""


@dataclass(eq=False)
class Graph:
    """Operators in the order in which they run. Maps are numbered; maps that no step makes are inputs."""

    maps: list[Map] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)
    part: str = ""
    """The part of the operators that are added next."""
    times: str = ""
    """The `Step.times` of the operators that are added next."""

    def start(self, levels: tuple[int, ...], channels: int, symbol: str = "") -> int:
        """Add an input; return its number."""
        self.maps.append(Map(levels, channels, symbol))
        return len(self.maps) - 1

    def add(self, name: str, reads: tuple[int, ...], target: Map, **how: Any) -> int:
        """Add an operator with the given fields of `Op`; return the number of its map."""
        # A concatenation reads maps of several levels as one map of all levels.
        source = target if name == "concat" else self.maps[reads[0]]
        how.setdefault("keeps", name in KEEP_INPUTS)
        return self.place(_interned(self.part, name, source, target, **how), reads)

    def conv(self, x: int, target: Map, **how: Any) -> int:
        """Add a convolution of one map; return the number of its map."""
        return self.add("conv", (x,), target, **how)

    def place(self, op: Op, reads: tuple[int, ...]) -> int:
        """Add an existing operator; return the number of its map."""
        self.steps.append(Step(op, reads, len(self.maps), self.times))
        self.maps.append(op.target)
        return len(self.maps) - 1

    def flat(self) -> Graph:
        """Return the same graph with inner graphs replaced by their operators."""
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
        """Return whether an output depends on each step."""
        wanted, found = set(self.outputs), []
        for step in reversed(self.steps):
            found.append(step.makes in wanted)
            if found[-1]:
                wanted.update(step.reads)
        return found[::-1]
