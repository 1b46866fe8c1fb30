"""Which maps are live at once in inference, and which are kept for backward in training.

Two rules, stated once:
- inference: a map lives from the operation that makes it to its last reader. A pointwise operation (norm, activation,
  product, sum) writes over an operand of its size that dies with it. Vectors of one position are not counted.
- training: what autograd keeps. A convolution, norm, silu, hard_swish or relu6 keeps its input (relu6 in place a
  copy of it); relu works in place and keeps its output; a max-pool its input and int64 indices; a weighted fusion its
  inputs; a sum nothing.
Standard library and NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from scalesearch.cost.graph import ONE, Graph, Map, Step
from scalesearch.cost.terms import Terms, of_map


class _Pass(NamedTuple):
    """One kernel that runs: an operator is one, and one more for its norm and its activation."""

    reads: tuple[int, ...]
    makes: int
    pointwise: bool
    keeps: tuple[int, ...]
    inplace: bool


@dataclass
class _Passes:
    """A graph's operators as the passes that PyTorch makes of them, over numbered maps."""

    maps: list[Map] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    """Of each map."""
    passes: list[_Pass] = field(default_factory=list)
    extra: Terms = field(default_factory=Terms)
    """What is kept besides maps."""

    def start(self, made: Map, times: str = "") -> int:
        self.maps.append(made)
        self.times.append(times)
        return len(self.maps) - 1

    def run(
        self, step: Step, *reads: int, pointwise: bool = False, keeps: Iterable[int] = (), inplace: bool = False
    ) -> int:
        """A pass; in place, what it makes is what it writes over."""
        made = self.start(step.op.target, step.times)
        self.passes.append(_Pass(reads, made, pointwise, tuple(keeps), inplace))
        return made


def _passes(graph: Graph) -> tuple[_Passes, list[int]]:
    """The passes of a graph, and the numbers that its outputs have among them."""
    found, made = _Passes(), {step.makes for step in graph.steps}
    number = {x: found.start(size) for x, size in enumerate(graph.maps) if x not in made}
    for step in graph.steps:
        number[step.makes] = _run(found, step, [number[x] for x in step.reads])
    return found, [number[x] for x in graph.outputs]


def _run(found: _Passes, step: Step, reads: list[int]) -> int:
    op, x = step.op, reads[0]
    kept = reads if op.keeps else []
    if op.name.startswith("fuse_"):
        return _fuse(found, step, reads)
    if op.name != "activation":
        x = found.run(step, *reads, pointwise=op.name in ("scale", "add"), keeps=kept)
    if op.name == "max_pool":
        found.extra += of_map(op.target, step.times, 2)  # int64 indices are two float32 each
    if op.norm:
        x = found.run(step, x, pointwise=True, keeps=[x])
    if op.after == "relu":
        return _keeping_itself(found, step, x, inplace=True)
    if op.after == "sigmoid":
        return _keeping_itself(found, step, x, inplace=False)
    return found.run(step, x, pointwise=True, keeps=[x]) if op.after else x


def _keeping_itself(found: _Passes, step: Step, x: int, *, inplace: bool) -> int:
    """An activation whose backward needs its result."""
    return found.run(step, x, pointwise=True, keeps=[len(found.maps)], inplace=inplace)


def _fuse(found: _Passes, step: Step, reads: list[int]) -> int:
    """A fusion, map by map: weighted, each is multiplied; else the second is joined to the first, and so on."""
    first, *rest = (x for x in reads if found.maps[x].levels != (ONE,))
    keeps = step.op.keeps
    if step.op.learned[0]:
        x = found.run(step, first, pointwise=True, keeps=[first] if keeps else [])
        for other in rest:
            x = found.run(step, x, other, pointwise=True, keeps=[other] if keeps else [])
        return x
    if not rest:
        return found.run(step, first, pointwise=True)
    x = first
    for i, other in enumerate(rest):
        gated = len(rest) + 1 < len(reads) and i == 0  # the second map, which the gate multiplies
        x = found.run(step, x, other, pointwise=True, keeps=[other] if gated else [x, other] if keeps else [])
    return x


# ---- inference ----


def peaks(graph: Graph) -> list[Terms]:
    """Sums of maps that are live at once, without those that are never the largest."""
    found, outputs = _passes(graph)
    last = {x: i for i, one in enumerate(found.passes) for x in one.reads}
    last |= dict.fromkeys(outputs, len(found.passes))
    made = {one.makes for one in found.passes}
    alive = {x for x in last if x not in made}
    rows = []
    for i, one in enumerate(found.passes):
        dying = {x for x in one.reads if last[x] == i}
        over = one.pointwise and any(found.maps[x] == found.maps[one.makes] for x in dying)
        rows.append(_total(found, alive if over else alive | {one.makes}))
        alive -= dying
        if one.makes in last:
            alive.add(one.makes)
    return _largest(rows)


def _total(found: _Passes, numbers: Iterable[int]) -> Terms:
    total = Terms()
    for x in numbers:
        made = found.maps[x]
        if made.levels != (ONE,):
            total += of_map(made)
    return total


def _largest(rows: Sequence[Terms]) -> list[Terms]:
    """The sums that no other is at least as large as in every term."""
    distinct = list(dict.fromkeys(tuple(sorted(row.items())) for row in rows))
    keys = sorted({key for row in distinct for key, _ in row})
    table = np.array([[dict(row).get(key, 0) for key in keys] for row in distinct])
    beaten = [bool(((table >= mine).all(1) & (table > mine).any(1)).any()) for mine in table]
    return [Terms(dict(row)) for row, less in zip(distinct, beaten, strict=True) if not less]


# ---- training ----


def kept(graph: Graph, others: Iterable[int] = ()) -> Terms:
    """What is kept for backward of each image, inputs aside; `others`: outputs that those who read them keep."""
    found, outputs = _passes(graph)
    storage = list(range(len(found.maps)))
    numbers: set[int] = set()
    for one in found.passes:
        if one.inplace:
            storage[one.makes] = storage[one.reads[0]]
        numbers |= {storage[x] for x in one.keeps}
    numbers |= {storage[outputs[i]] for i in others}
    total = found.extra.copy()
    for x in numbers & {one.makes for one in found.passes}:
        total.update(of_map(found.maps[x], found.times[x]))
    return total
