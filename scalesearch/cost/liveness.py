"""Liveness: the maps in memory at the same time in inference, and those kept for the backward pass in training.

The rules:
- inference: a map lives from the operation that makes it to its last reader. A pointwise operation (norm, activation,
  product, sum) overwrites an operand of its size that is not read again. Vectors of one position are not counted.
- training: maps that autograd keeps. A convolution, norm, silu, hard_swish or relu6 keeps its input (relu6 in place a
  copy of it). relu works in place and keeps its output. A max-pool keeps its input and int64 indices, a weighted fusion
  its inputs, a sum nothing.
Imports NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from scalesearch.cost.graph import ONE, Graph, Map, Step
from scalesearch.cost.terms import Terms, of_map


class _Pass(NamedTuple):
    """One kernel: an operator has one, and one more each for its norm and its activation."""

    reads: tuple[int, ...]
    makes: int
    pointwise: bool
    keeps: tuple[int, ...]
    inplace: bool


@dataclass
class _Passes:
    """A graph's operators as PyTorch's passes, over numbered maps."""

    maps: list[Map] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    """`Step.times` of each map."""
    passes: list[_Pass] = field(default_factory=list)
    extra: Terms = field(default_factory=Terms)
    """Numbers that are kept besides maps."""

    def start(self, made: Map, times: str = "") -> int:
        self.maps.append(made)
        self.times.append(times)
        return len(self.maps) - 1

    def run(
        self, step: Step, *reads: int, pointwise: bool = False, keeps: Iterable[int] = (), inplace: bool = False
    ) -> int:
        """Add a pass; return the number of its map. In place, the pass overwrites the first map that it reads."""
        made = self.start(step.op.target, step.times)
        self.passes.append(_Pass(reads, made, pointwise, tuple(keeps), inplace))
        return made


def _passes(graph: Graph) -> tuple[_Passes, list[int]]:
    """Return the passes of a graph, and the numbers of its outputs among their maps."""
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
    """Add an activation that keeps its result for the backward pass."""
    return found.run(step, x, pointwise=True, keeps=[len(found.maps)], inplace=inplace)


def _fuse(found: _Passes, step: Step, reads: list[int]) -> int:
    """Add a fusion, map by map: with weights each map is multiplied; otherwise each is joined to the ones before."""
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
    """Return the sums of maps that are live at once, without those that are never the largest."""
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
    """Return the sums that no other sum dominates in every term."""
    distinct = list(dict.fromkeys(tuple(sorted(row.items())) for row in rows))
    keys = sorted({key for row in distinct for key, _ in row})
    table = np.array([[dict(row).get(key, 0) for key in keys] for row in distinct])
    beaten = [bool(((table >= mine).all(1) & (table > mine).any(1)).any()) for mine in table]
    return [Terms(dict(row)) for row, less in zip(distinct, beaten, strict=True) if not less]


# ---- training ----


def kept(graph: Graph, others: Iterable[int] = ()) -> Terms:
    """Return the numbers kept for backward of one image, without inputs; `others`: outputs that their readers keep."""
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
