"""Drawing of a feature network. The positions and bends come from arch/graph_layout.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyBboxPatch, Polygon, Rectangle

from scalesearch.arch.graph_layout import PORT, RADIUS, Arrow, Layout, Line, layout
from scalesearch.arch.topology import GATES, Topology
from scalesearch.io.marks import claim_picture
from scalesearch.io.text import for_picture
from scalesearch.report.saving import save_figure

_STYLES: dict[str, tuple[str, Any, str]] = {  # colour, dashes, what the legend says
    "up": ("#c8553d", "-", "up-sampled, to a finer level"),
    "down": ("#2166ac", (0, (4, 1.6)), "down-sampled, to a coarser level"),
    "same": ("#5f6b76", "-", "same level"),
}
_INK, _ROW, _NODE, _GATE, _BOX, _OUT = "#22303c", "#f3f5f8", "#ffffff", "#fff3d6", "#dfe6ee", "#aab4be"
_FUSIONS = {
    "channel_softmax": "ch. softmax",
    "channel_fast": "ch. fast",
    "gate_max": "gate max",
    "gate_avg": "gate avg",
}
_INCH = 0.95
"""Inches between two rows."""
_HEAD = 0.115
"""Length of an arrow head; rows are 1 apart."""


def draw_graph(topology: Topology, path: Path, name: str) -> None:
    """Write the drawing of `topology` to `path`, whose suffix gives the format (svg, png, pdf).

    The same topology gives the same bytes. Raises ValueError as `claim_picture`.
    """
    claim_picture(path)
    facts = layout(topology)
    edges = len(facts.arrows)
    title = f"{for_picture(name)}: levels {topology.min_level}..{topology.max_level}, {len(topology.nodes)} nodes, {edges} edges"
    legend = _legend(facts)
    wide, high = _wide(facts, title, legend), len(topology.levels) + 0.15
    with plt.rc_context({"svg.hashsalt": "scalesearch", "svg.fonttype": "none", "font.family": "DejaVu Sans"}):
        figure = plt.figure(figsize=(wide * _INCH, (high + 0.95) * _INCH))
        axes = figure.add_axes((0, 0.55 / (high + 0.95), 1, high / (high + 0.95)))
        axes.set(xlim=(-1.25, wide - 1.25), ylim=(topology.min_level - 0.55, topology.max_level + 0.6))
        axes.set_axis_off()
        _rows(axes, facts, wide)
        for arrow in facts.arrows:
            _arrow(axes, facts, arrow)
        _nodes(axes, facts)
        _ports(axes, facts)
        figure.text(0.012, 1 - 0.2 / (high + 0.95), title, color=_INK, fontsize=11, weight="bold", va="center")
        figure.legend(handles=legend, loc="lower left", ncols=4, frameon=False, fontsize=8, handlelength=2.6)
        save_figure(figure, path, dpi=150, alone=True)
        plt.close(figure)


def _wide(facts: Layout, title: str, legend: list[Line2D]) -> float:
    """Return the width of the drawing (rows are 1 apart): that of the graph, or of its title or legend if larger."""
    # Inches of the text, estimated on the large side: 11 points bold, and 8 points beside a handle.
    inches = max(0.3 + 0.1 * len(title), sum(0.55 + 0.065 * len(str(handle.get_label())) for handle in legend))
    return max(facts.right + 2.1, inches / _INCH)


def _rows(axes: Axes, facts: Layout, wide: float) -> None:
    for level in facts.topology.levels:
        axes.add_patch(Rectangle((-1.25, level - 0.46), wide, 0.92, color=_ROW, linewidth=0, zorder=0))
        axes.text(-1.13, level + 0.08, f"P{level}", fontsize=10, weight="bold", color=_INK, va="center")
        axes.text(-1.13, level - 0.17, f"1/{2**level}", fontsize=7, color="#7a8691", va="center")


def _arrow(axes: Axes, facts: Layout, arrow: Arrow) -> None:
    colour, dashes, _ = _STYLES[arrow.kind]
    line = facts.shown(arrow)
    _shaft(axes, line, colour, dashes, 1.3)
    if arrow.gating:
        x, y = line[len(line) // 3]
        axes.plot(
            x, y, marker="D", markersize=5.5, color=colour, markeredgecolor="white", markeredgewidth=0.9, zorder=3
        )


def _shaft(axes: Axes, line: Line, colour: str, dashes: Any, thick: float) -> None:
    """Draw a line with an arrow head at its end."""
    tip = line[-1]
    shaft = line[np.linalg.norm(line - tip, axis=1) > 0.9 * _HEAD]
    axes.plot(shaft[:, 0], shaft[:, 1], color=colour, linestyle=dashes, linewidth=thick, zorder=2)
    back = shaft[-1]
    along = (tip - back) / np.linalg.norm(tip - back)
    across = np.array([-along[1], along[0]])
    base = tip - _HEAD * along
    axes.add_patch(
        Polygon([tip, base + 0.42 * _HEAD * across, base - 0.42 * _HEAD * across], color=colour, linewidth=0, zorder=3)
    )


def _nodes(axes: Axes, facts: Layout) -> None:
    inputs = len(facts.topology.levels)
    for number, node in enumerate(facts.topology.nodes, inputs):
        x, y = facts.places[number]
        face = _GATE if node.fusion in GATES else _NODE
        axes.add_patch(Circle((x, y), RADIUS, facecolor=face, edgecolor=_INK, linewidth=1.1, zorder=4))
        axes.text(x, y + 0.06, str(number), fontsize=9, weight="bold", color=_INK, ha="center", va="center", zorder=5)
        fusion = _FUSIONS.get(node.fusion, node.fusion)
        size = 6 if len(fusion) < 8 else 5 if len(fusion) < 9 else 4.4
        axes.text(x, y - 0.115, fusion, fontsize=size, color=_INK, ha="center", va="center", zorder=5)


def _ports(axes: Axes, facts: Layout) -> None:
    """Draw the inputs at the left and the outputs at the right."""
    read = {arrow.source for arrow in facts.arrows}
    for number, level in enumerate(facts.topology.levels):
        _port(axes, facts.places[number], str(number), faded=number not in read)
        start = facts.places[facts.topology.outputs[number]]
        end = (facts.right, start[1])
        line = np.linspace((start[0] + RADIUS, start[1]), (end[0] - PORT[0] / 2 - 0.015, end[1]), 200)
        _shaft(axes, line, _OUT, "-", 1.1)
        _port(axes, end, f"P{level}")


def _port(axes: Axes, place: tuple[float, float], text: str, *, faded: bool = False) -> None:
    (x, y), (wide, high) = place, PORT
    box = "round,pad=0,rounding_size=0.1"
    axes.add_patch(
        FancyBboxPatch(
            (x - wide / 2, y - high / 2), wide, high, boxstyle=box, facecolor=_BOX, edgecolor=_INK, linewidth=1.1,
            alpha=0.45 if faded else 1, zorder=4,
        )
    )  # fmt: skip
    axes.text(x, y, text, fontsize=9, weight="bold", color=_INK, ha="center", va="center", zorder=5)


def _legend(facts: Layout) -> list[Line2D]:
    kinds = {arrow.kind for arrow in facts.arrows}
    styles = [style for kind, style in _STYLES.items() if kind in kinds]
    handles = [Line2D([], [], color=c, linestyle=d, linewidth=1.5, label=text) for c, d, text in styles]
    if any(arrow.gating for arrow in facts.arrows):
        handles.append(
            Line2D([], [], color=_INK, marker="D", markersize=5, linestyle="", label="this input gates the other")
        )
    return handles
