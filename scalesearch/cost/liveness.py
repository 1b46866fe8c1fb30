"""The operations of a part of a detector in the order of nn/, and what they hold: live maps, maps kept for backward.

Sizes are symbolic, {(level, unit): count}: a map of `width` channels at level 3 is {(3, "width"): 1}. So one tape holds
for any size and width, and for arrays of them. Standard library and NumPy.

Two rules, stated once:
- inference: a map lives from the operation that makes it to its last reader. A pointwise operation (norm, activation,
  product, sum) writes over an operand of its size that dies with it. Vectors of one position are not counted.
- training: what autograd keeps. A convolution, norm, silu, hard_swish or relu6 keeps its input (relu6 in place a
  copy of it); relu works in place and keeps its output; a max-pool its input and int64 indices; a weighted fusion its
  inputs; a sum nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

Key = tuple[int, str]
"""(pyramid level, unit of channels). Level 0 is the image, ONE a single position; the unit "" is plain channels."""
Size = Mapping[Key, int]
ONE = -1


class Held(NamedTuple):
    """What a tape comes to, in numbers of symbolic size."""

    peaks: tuple[tuple[tuple[Key, int], ...], ...]
    """Sums of live maps, without those that are never the largest."""
    kept: tuple[tuple[Key, int], ...]
    """The maps kept for backward, each once."""
    norms: tuple[tuple[Key, int], ...]
    """Channels of batch norms, at level ONE."""


class _Op(NamedTuple):
    reads: tuple[int, ...]
    makes: int
    pointwise: bool
    keeps: tuple[int, ...]
    inplace: bool


@dataclass
class Tape:
    """Operations are appended in the order in which they run; each returns the number of the map that it makes."""

    sizes: list[Size] = field(default_factory=list)
    ops: list[_Op] = field(default_factory=list)
    extra: Counter[Key] = field(default_factory=Counter)
    norms: Counter[Key] = field(default_factory=Counter)

    def start(self, size: Size) -> int:
        """A map that is there already."""
        self.sizes.append(size)
        return len(self.sizes) - 1

    def op(
        self,
        *reads: int,
        size: Size | None = None,
        pointwise: bool = False,
        keeps: Sequence[int] = (),
        keeps_result: bool = False,
        inplace: bool = False,
    ) -> int:
        """An operation whose result has the size of its first operand unless told otherwise."""
        made = self.start(self.sizes[reads[0]] if size is None else size)
        kept = (*keeps, made) if keeps_result else tuple(keeps)
        self.ops.append(_Op(reads, made, pointwise, kept, inplace))
        return made

    def conv(self, x: int, size: Size) -> int:
        """A convolution."""
        return self.op(x, size=size, keeps=[x])

    def norm(self, x: int) -> int:
        """A batch norm of its own."""
        ((_, unit), count), *_ = self.sizes[x].items()
        self.norms[ONE, unit] += count
        return self.op(x, pointwise=True, keeps=[x])

    def act(self, x: int, name: str) -> int:
        """An activation; relu alone holds one map in training: autograd copies what relu6 is written over."""
        if name == "relu":
            return self.op(x, pointwise=True, keeps_result=True, inplace=True)
        return self.op(x, pointwise=True, keeps=[x])

    def held(self, outputs: Iterable[int], keeps: Iterable[int] = ()) -> Held:
        """What the operations so far hold, where `outputs` are read by others afterwards, who keep `keeps`."""
        kept = self._kept(set(keeps))
        return Held(_largest(self._live(set(outputs))), tuple(kept.items()), tuple(self.norms.items()))

    def _live(self, outputs: set[int]) -> list[Counter[Key]]:
        """The sum of live maps during each operation."""
        last = {x: i for i, op in enumerate(self.ops) for x in op.reads} | dict.fromkeys(outputs, len(self.ops))
        made = {op.makes for op in self.ops}
        alive = {x for x in last if x not in made}
        sums = []
        for i, op in enumerate(self.ops):
            dying = {x for x in op.reads if last[x] == i}
            over = op.pointwise and any(self.sizes[x] == self.sizes[op.makes] for x in dying)
            sums.append(self._sum(alive if over else alive | {op.makes}))
            alive -= dying
            if op.makes in last:
                alive.add(op.makes)
        return sums

    def _kept(self, others: set[int]) -> Counter[Key]:
        """The maps that some operation or others keep, those that were there already aside."""
        storage = list(range(len(self.sizes)))
        kept: set[int] = set()
        made = {op.makes for op in self.ops}
        for op in self.ops:
            if op.inplace:
                storage[op.makes] = storage[op.reads[0]]
            kept |= {storage[x] for x in op.keeps}
        kept |= {storage[x] for x in others}
        return self._sum(kept & made) + self.extra

    def _sum(self, maps: Iterable[int]) -> Counter[Key]:
        total: Counter[Key] = Counter()
        for x in maps:
            for key, count in self.sizes[x].items():
                total[key] += count
        return total


def _largest(sums: Sequence[Counter[Key]]) -> tuple[tuple[tuple[Key, int], ...], ...]:
    """The sums that no other is at least as large as in every key."""
    rows = list(dict.fromkeys(tuple(sorted(total.items())) for total in sums))
    keys = sorted({key for row in rows for key, _ in row})
    table = np.array([[dict(row).get(key, 0) for key in keys] for row in rows])
    beaten = [bool(((table >= mine).all(1) & (table > mine).any(1)).any()) for mine in table]
    return tuple(row for row, less in zip(rows, beaten, strict=True) if not less)


def amount(terms: Iterable[tuple[Key, int]], areas: Mapping[int, Any], units: Mapping[str, Any]) -> Any:
    """A symbolic size as a number, or as an array where areas or units are arrays."""
    by_area: dict[int, Any] = {}
    for (level, unit), count in terms:
        by_area[level] = by_area.get(level, 0) + count * units[unit]
    return sum(areas[level] * channels for level, channels in by_area.items())
