"""Feature network and heads as a tape: the operations of nn/neck.py, nn/layers.py and nn/heads.py, in their order.

Standard library and arch.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from scalesearch.arch.topology import GATES, Topology
from scalesearch.cost.liveness import Held, Size, Tape


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """What of a spec decides which operations there are; the numbers come in as units (`memory._units`)."""

    topology: Topology
    backbone_levels: range
    projected: tuple[bool, ...]
    """Whether the backbone's map of each level has 1x1 convolutions."""
    laterals: str
    extra_levels: str
    down: str
    activation: str
    act_first: bool
    separable: bool
    cells: int
    """1 or 2."""
    tower: int
    """Convolutions in a head: 0, 1 or 2."""


@lru_cache(maxsize=4096)
def wire(wiring: Wiring) -> Held:
    """What neck and heads hold. The maps of the backbone count among the live ones, not among the kept."""
    tape = Tape()
    raw = [
        # A map without a 1x1 has the network's width.
        tape.start({(level, f"raw{level}" if projected else "width"): 1})
        for level, projected in zip(wiring.backbone_levels, wiring.projected, strict=True)
    ]
    maps = _before_cells(tape, wiring, raw)
    for i in range(wiring.cells):
        maps = _cell(tape, wiring, maps, first=i == 0)
    outputs = [_head(tape, wiring, maps, unit) for unit in ("class", "box")]
    # The focal loss makes its gradient in the forward pass and keeps it (nn/losses.py).
    tape.extra.update(dict(tape.sizes[outputs[0]]))
    return tape.held(outputs)


def _before_cells(tape: Tape, wiring: Wiring, raw: list[int]) -> list[int]:
    """Laterals that are one a level, and the levels above the backbone's."""
    levels, top = wiring.backbone_levels, wiring.topology.max_level
    coarsest, pooled = levels[-1], wiring.extra_levels == "pool"
    read = {i for node in wiring.topology.nodes for i in node.inputs}
    maps = list(raw)
    if wiring.laterals == "level":
        for i, level in enumerate(levels):
            needed = i in read or (pooled and level == coarsest and top > coarsest)
            if needed and wiring.projected[i]:
                maps[i] = _lateral(tape, raw[i], level)
    x = maps[-1] if pooled else raw[-1]
    if top > coarsest and not pooled and wiring.projected[-1]:
        x = _lateral(tape, x, coarsest)
    for level in range(coarsest + 1, top + 1):
        x = _resample(tape, wiring, x, level - 1, level)
        maps.append(x)
    return maps


def _lateral(tape: Tape, x: int, level: int) -> int:
    return tape.norm(tape.conv(x, {(level, "width"): 1}))


def _resample(tape: Tape, wiring: Wiring, x: int, source: int, target: int) -> int:
    size: Size = {(target, "width"): 1}
    if source == target:
        return x
    if source > target or wiring.down == "bilinear":
        return tape.op(x, size=size)
    if wiring.down != "avg":
        tape.extra[target, "width"] += 2  # int64 indices are two float32 each
    return tape.op(x, size=size, keeps=[x])


def _cell(tape: Tape, wiring: Wiring, maps: list[int], *, first: bool) -> list[int]:
    topology, maps = wiring.topology, list(maps)
    own = first and wiring.laterals == "edge"
    for node in topology.nodes:
        edges = []
        for number in node.inputs:
            x, level = maps[number], topology.level_of(number)
            if own and number < len(wiring.backbone_levels) and wiring.projected[number]:
                x = _lateral(tape, x, level)
            edges.append(_resample(tape, wiring, x, level, node.level))
        x = _fuse(tape, node.fusion, edges)
        if wiring.act_first:
            x = tape.norm(_conv3(tape, wiring, tape.act(x, wiring.activation), tape.sizes[x], tape.sizes[x]))
        else:
            x = tape.act(tape.norm(_conv3(tape, wiring, x, tape.sizes[x], tape.sizes[x])), wiring.activation)
        maps.append(x)
    return [maps[i] for i in topology.outputs]


def _fuse(tape: Tape, kind: str, maps: list[int]) -> int:
    first, *rest = maps
    if kind in GATES:
        second, *rest = rest
        # The maximum keeps what it was taken of, the mean only its shape.
        out = tape.op(first, second, pointwise=True, keeps=[second, *([first] if kind == "gate_max" else [])])
    elif kind != "sum":
        out = tape.op(first, pointwise=True, keeps=[first])
        for x in rest:
            out = tape.op(out, x, pointwise=True, keeps=[x])
        return out
    elif rest:
        second, *rest = rest
        out = tape.op(first, second, pointwise=True)
    else:
        out = tape.op(first, pointwise=True)
    for x in rest:
        out = tape.op(out, x, pointwise=True)
    return out


def _conv3(tape: Tape, wiring: Wiring, x: int, before: Size, after: Size) -> int:
    return tape.conv(tape.conv(x, before) if wiring.separable else x, after)


def _head(tape: Tape, wiring: Wiring, maps: list[int], outputs: str) -> int:
    """Towers level by level, the joining of the levels, the predicting convolution."""
    levels = wiring.topology.levels
    towers = []
    for level, start in zip(levels, maps, strict=True):
        x = start
        for _ in range(wiring.tower):
            x = _conv3(tape, wiring, x, tape.sizes[x], {(level, "head"): 1})
            x = tape.act(tape.norm(x), wiring.activation)
        towers.append(x)
    whole: Size = {(level, outputs): 1 for level in levels}
    if not wiring.separable:
        return tape.op(*(tape.conv(x, {(at, outputs): 1}) for at, x in zip(levels, towers, strict=True)), size=whole)
    cells = [tape.conv(x, tape.sizes[x]) for x in towers]
    unit = "head" if wiring.tower else "width"
    return tape.conv(tape.op(*cells, size={(level, unit): 1 for level in levels}), whole)
