"""The figure of a feature network. Positions and bends come from arch/graph_layout.py."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import plotly.graph_objects as go

from scalesearch.arch.graph_layout import PORT, RADIUS, Line, layout
from scalesearch.arch.topology import Topology
from scalesearch.webpage.style import ACCENT, INK, LINE, MUTED, PANEL, Figure, axis, figure

_KINDS = {"up": (ACCENT, "solid"), "down": (INK, "dash"), "same": (MUTED, "solid"), "out": (LINE, "solid")}
"""Colour and dashes of the arrows to a finer and to a coarser level, within one, and to the outputs."""
_OFF = 0.012
"""The most by which a drawn line leaves the layout's, where levels are 1 apart."""


def graph_figure() -> Figure:
    """Return the figure of a feature network, empty; `graph_changes` fills it."""
    shafts = [
        go.Scatter(mode="lines", line={"color": color, "dash": dash, "width": 1.6}, hoverinfo="skip")
        for color, dash in _KINDS.values()
    ]
    heads = [
        go.Scatter(
            mode="markers",
            marker={"symbol": "triangle-up", "size": 8, "color": color, "angleref": "up"},
            hoverinfo="skip",
        )
        for color, _ in _KINDS.values()
    ]
    font = {"size": 11, "color": INK}
    ports = go.Scatter(
        meta="ports",
        mode="markers+text",
        marker={"symbol": "square", "size": 20, "color": PANEL, "line": {"color": MUTED, "width": 1}},
        textfont=font,
        hovertemplate="%{hovertext}<extra></extra>",
    )
    nodes = go.Scatter(
        meta="nodes",
        mode="markers+text",
        marker={"symbol": "circle", "size": 20, "color": PANEL, "line": {"color": INK, "width": 1.3}},
        textfont=font,
        hovertemplate="%{hovertext}<extra></extra>",
    )
    hidden = {"visible": False, "fixedrange": True}
    return figure(
        [*shafts, *heads, ports, nodes],
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        xaxis=hidden,
        yaxis={**axis(), **hidden, "scaleanchor": "x", "scaleratio": 1},
        dragmode=False,
    )


def graph_changes(topology: Topology) -> dict[str, Any]:
    """Return what fills `graph_figure`: traces, ranges, and the width and height of the drawing, where levels are 1 apart."""
    found = layout(topology)
    inputs = len(topology.levels)
    lines: dict[str, list[Line]] = {kind: [] for kind in _KINDS}
    for arrow in found.arrows:
        lines[arrow.kind].append(_thinned(found.shown(arrow)))
    for number in topology.outputs:
        x, y = found.places[number]
        lines["out"].append(np.array([(x + RADIUS, y), (found.right - PORT[0] / 2, y)]))
    ends = [*found.places[:inputs], *((found.right, float(level)) for level in topology.levels)]
    levels = [f"P{level}" for level in topology.levels]
    ports = {
        "x": [x for x, _ in ends],
        "y": [y for _, y in ends],
        "text": levels * 2,
        "hovertext": [
            f"{kind} P{level}, 1/{2**level} of the image" for kind in ("input", "output") for level in topology.levels
        ],
    }
    nodes = {
        "x": [round(x, 2) for x, _ in found.places[inputs:]],
        "y": [y for _, y in found.places[inputs:]],
        "text": [str(number) for number in range(inputs, len(found.places))],
        "hovertext": [
            f"node {number} at P{node.level}: {node.fusion} of {', '.join(_name(topology, source) for source in node.inputs)}"
            for number, node in enumerate(topology.nodes, inputs)
        ],
    }
    wide, high = found.right + 0.9, len(topology.levels) + 0.1
    return {
        "data": [*(_shafts(own) for own in lines.values()), *(_heads(own) for own in lines.values()), ports, nodes],
        "layout": {
            "xaxis": {"range": [-0.45, round(wide - 0.45, 2)]},
            "yaxis": {"range": [topology.min_level - 0.55, topology.max_level + 0.55]},
        },
        "wide": round(wide, 2),
        "high": high,
        "alt": f"feature network over levels {topology.min_level} to {topology.max_level}: {len(topology.nodes)} nodes, {len(found.arrows)} edges",
    }


def _name(topology: Topology, source: int) -> str:
    return f"P{topology.level_of(source)}" if source < len(topology.levels) else f"node {source}"


def _thinned(line: Line) -> Line:
    """Return as few points of the line as keep within `_OFF` of it (Ramer 1972, Douglas and Peucker 1973)."""
    a, b = line[0], line[-1]
    along = (b - a) / (np.linalg.norm(b - a) or 1)
    off = np.abs((line - a) @ np.array([-along[1], along[0]]))
    place = int(off.argmax())
    if off[place] <= _OFF:
        return np.stack([a, b])
    return np.vstack([_thinned(line[: place + 1])[:-1], _thinned(line[place:])])


def _shafts(lines: list[Line]) -> dict[str, list[float | None]]:
    x: list[float | None] = []
    y: list[float | None] = []
    for line in lines:
        x += [*(round(float(value), 2) for value in line[:, 0]), None]
        y += [*(round(float(value), 2) for value in line[:, 1]), None]
    return {"x": x, "y": y}


def _heads(lines: list[Line]) -> dict[str, Any]:
    """Return triangles at the tips; their angle is clockwise from upwards."""
    tips = [(line[-1], line[-1] - line[-2]) for line in lines]
    return {
        "x": [round(float(tip[0]), 2) for tip, _ in tips],
        "y": [round(float(tip[1]), 2) for tip, _ in tips],
        "marker": {"angle": [round(math.degrees(math.atan2(way[0], way[1]))) for _, way in tips]},
    }
