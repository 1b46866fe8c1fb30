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
from numpy.typing import NDArray

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
    first, last = _lifetimes(found.passes, outputs, found.maps)
    sizes = {x: of_map(found.maps[x]) for x in last if found.maps[x].levels != (ONE,)}
    column = {term: i for i, term in enumerate(dict.fromkeys(term for size in sizes.values() for term in size))}
    changes = np.zeros((len(found.passes) + 2, len(column)), np.int64)
    for x, size in sizes.items():
        for term, count in size.items():
            changes[first[x], column[term]] += count
            changes[last[x] + 1, column[term]] -= count
    live = np.cumsum(changes, axis=0)[: len(found.passes)]
    return [Terms({term: count for term, count in zip(column, row, strict=True) if count}) for row in _largest(live)]


def _lifetimes(
    passes: Sequence[_Pass], outputs: Iterable[int], maps: Sequence[Map]
) -> tuple[dict[int, int], dict[int, int]]:
    """Return the first and the last pass in which each map is in memory; an input that is not read has no last."""
    first, last = dict.fromkeys(range(len(maps)), 0), {x: i for i, one in enumerate(passes) for x in one.reads}
    last |= dict.fromkeys(outputs, len(passes))
    for i, one in enumerate(passes):
        overwrites = one.pointwise and any(last[x] == i and maps[x] == maps[one.makes] for x in one.reads)
        # A map that overwrites another is counted from the next pass on: in this one, the other is.
        first[one.makes] = i + overwrites
        last.setdefault(one.makes, i)
    return first, last


def _largest(rows: NDArray[np.int64]) -> list[list[int]]:
    """Return the distinct rows that no other row equals or exceeds in every column."""
    found = []
    while len(rows):
        # No other row exceeds the one with the largest sum.
        most = rows[rows.sum(1).argmax()]
        found.append(most.tolist())
        rows = rows[(rows > most).any(1)]
    return found


# ---- training ----


def kept(graph: Graph, others: Iterable[int] = (), *, half: bool = False) -> Terms:
    """Return the numbers kept for backward of one image, without inputs; `others`: outputs that their readers keep.

    With `half`, a number has two bytes, and what has more is counted as several.
    """
    found, outputs = _passes(graph)
    storage = list(range(len(found.maps)))
    numbers: set[int] = set()
    for one in found.passes:
        if one.inplace:
            storage[one.makes] = storage[one.reads[0]]
        numbers |= {storage[x] for x in one.keeps}
    numbers |= {storage[outputs[i]] for i in others}
    total = Terms({term: (2 if half else 1) * count for term, count in found.extra.items()})
    for x in numbers & {one.makes for one in found.passes}:
        total.update(of_map(found.maps[x], found.times[x]))
    return total
