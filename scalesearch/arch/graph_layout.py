"""The layout of a picture of a feature network; `report/graph_plot.py` draws it.

Levels are rows, the coarsest on top (y is the level). Inputs are at x = 0, nodes follow in their order,
outputs are at the right end. Consecutive nodes that climb or descend through the levels form one leaning
column. An arrow is straight if it misses every circle; otherwise it bends, or takes a lane beside its row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scalesearch.arch.topology import GATES, Topology

Position = tuple[float, float]
Line = NDArray[np.float64]
"""[n, 2] points (x, y)."""
Kind = Literal["up", "down", "same"]

RADIUS = 0.27
"""The radius of a node's circle; rows are 1 apart."""
PORT = (0.62, 0.42)
"""Width and height of an input's or output's box."""
_LEAN, _STEP, _LAST = 0.62, 1.1, 1.1
"""Steps in x: within a climb or descent, to the next one, to the outputs."""
_CLEARANCE = 0.09
"""The distance that an arrow keeps from a circle that is neither its start nor its end."""
_BENDS = tuple(size / 100 for size in range(6, 72, 6))
_LANES = (0.37, 0.44, 0.51)
_EASE = 0.75
"""The distance in x in which a line moves from a circle's centre to its lane."""
_ALONG = 0.05
"""Arrows nearer than this run along each other."""
_SAMPLES, _COARSE = 400, 10
"""The pieces of a line, and the step between the points that comparisons of lines use."""


@dataclass(frozen=True, eq=False)
class Arrow:
    """An arrow from a map to a node that reads it."""

    source: int
    target: int
    kind: Kind
    """up: to a finer level (up-sampled); down: to a coarser one; same: within one level."""
    gating: bool
    """Whether the source's global pooling gates the node's second input."""
    line: Line
    """The line from centre to centre."""


@dataclass(frozen=True, eq=False)
class Layout:
    """The places and arrows of a topology's picture."""

    topology: Topology
    places: tuple[Position, ...]
    """(x, level) of each input and node, by number."""
    arrows: tuple[Arrow, ...]

    @property
    def right(self) -> float:
        """The x of the outputs."""
        return max(x for x, _ in self.places) + _LAST

    def shown(self, arrow: Arrow) -> Line:
        """Return the part of an arrow's line outside the shapes at its two ends."""
        box = PORT if arrow.source < len(self.topology.levels) else None
        outside = _outside(arrow.line, self.places[arrow.source], box) & _outside(arrow.line, self.places[arrow.target])
        return arrow.line[outside]


def layout(topology: Topology) -> Layout:
    """Return the layout of a topology's picture; it is deterministic."""
    places = _places(topology)
    arrows: list[Arrow] = []
    for target, node in enumerate(topology.nodes, len(topology.levels)):
        for place, source in enumerate(node.inputs):
            kind = _kind(topology.level_of(source), node.level)
            line = _best_line(topology, places, source, target, arrows)
            arrows.append(Arrow(source, target, kind, place == 0 and node.fusion in GATES, line))
    return Layout(topology, places, tuple(arrows))


def _kind(source: int, target: int) -> Kind:
    if source == target:
        return "same"
    return "up" if source > target else "down"


def _places(topology: Topology) -> tuple[Position, ...]:
    places: list[Position] = [(0.0, float(level)) for level in topology.levels]
    x, before, direction = 0.0, 0, 0
    for k, node in enumerate(topology.nodes):
        way = (node.level > before) - (node.level < before)
        runs_on = k > 0 and way != 0 and direction in (0, way)
        direction = way if runs_on else 0
        x += _LEAN if runs_on else _STEP
        places.append((x, float(node.level)))
        before = node.level
    return tuple(places)


def _best_line(
    topology: Topology, places: Sequence[Position], source: int, target: int, arrows: Sequence[Arrow]
) -> Line:
    """Return the simplest line that keeps clear of other circles and does not run along another arrow."""
    others = np.array([place for i, place in enumerate(places) if i not in (source, target)])
    taken = np.concatenate([arrow.line[::_COARSE] for arrow in arrows]) if arrows else np.empty((0, 2))
    twins = [arrow.line for arrow in arrows if (arrow.source, arrow.target) == (source, target)]
    choices = list(_lines(places[source], places[target]))
    best = np.inf, choices[0][1]
    for detour, line in choices:
        if any(np.abs(line - twin).max() < 0.1 for twin in twins):
            continue
        cost = detour + _trespass(topology, line[::_COARSE], others)
        if cost < best[0]:
            cost += _beside(line[::_COARSE], taken)
            best = (cost, line) if cost < best[0] else best
    return best[1]


def _trespass(topology: Topology, line: Line, others: Line) -> float:
    """Return the penalty of a line for coming too near to other circles and for leaving the picture."""
    nearest = float(np.linalg.norm(line[:, None] - others[None], axis=2).min()) if len(others) else np.inf
    top, bottom = topology.max_level + 0.5, topology.min_level - 0.5
    off = float(np.maximum(line[:, 1] - top, bottom - line[:, 1]).clip(0).max())
    return 20 * (max(0.0, RADIUS + _CLEARANCE - nearest) + off)


def _beside(line: Line, taken: Line) -> float:
    """Return the penalty of a line for running along other lines.

    The part near its ends is exempt: arrows that leave or enter the same circle run side by side there.
    """
    inner = line[np.minimum(*(np.linalg.norm(line - line[end], axis=1) for end in (0, -1))) > 0.9]
    if not len(inner):
        return 0.0
    # Only points in the line's bounding box can be near: a graph of many arrows has tens of thousands of points.
    inside = (taken > inner.min(0) - _ALONG) & (taken < inner.max(0) + _ALONG)
    near = np.linalg.norm(inner[:, None] - taken[None, inside.all(1)], axis=2) < _ALONG
    return 3 * float(near.any(1).sum()) / len(line)


def _lines(start: Position, end: Position) -> Iterator[tuple[float, Line]]:
    """Yield lines from `start` to `end`, each after the penalty for its detour."""
    a, b = np.array(start), np.array(end)
    across = np.array([b[1] - a[1], a[0] - b[0]])
    length = float(np.linalg.norm(across))
    t = np.linspace(0, 1, _SAMPLES + 1)[:, None]
    yield 0.0, a + (b - a) * t
    for bend in _BENDS:
        for side in (1, -1):
            yield bend * length / 2 + 0.05, a + (b - a) * t + 2 * t * (1 - t) * bend * side * across
    if a[1] == b[1] and length > 2 * _EASE:
        for lane in _LANES:
            for side in (1, -1):
                eased = (np.minimum(t, 1 - t) * length / _EASE).clip(0, 1)
                yield lane, a + (b - a) * t + side * lane * (3 - 2 * eased) * eased**2 * np.array([0.0, 1.0])


def _outside(line: Line, place: Position, box: Position | None = None) -> NDArray[np.bool_]:
    """Whether each point of a line is outside the circle at `place`, or outside the box there."""
    away = np.abs(line - np.array(place))
    if box is None:
        return np.asarray(np.linalg.norm(away, axis=1) > RADIUS + 0.015)
    return np.asarray((away[:, 0] > box[0] / 2) | (away[:, 1] > box[1] / 2))
