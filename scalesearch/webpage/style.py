"""What all figures have in common: roles of colours, axes, escaped text, costs as readable ticks.

A colour is the name of a variable of page.css, which the page's script resolves, so that a figure follows the theme.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from scalesearch.cost.budget import human
from scalesearch.io.text import for_terminal
from scalesearch.report.front_plot import round_ticks

Figure = dict[str, Any]
"""A figure of Plotly as plain JSON data: `data`, `layout`, and what page.js reads of it."""

INK, MUTED, LINE, ACCENT = "var(--ink)", "var(--muted)", "var(--line)", "var(--accent)"
CLEAR, GROUND, PANEL = "rgba(0,0,0,0)", "var(--ground)", "var(--panel)"
COSTS = {
    "macs": "FLOPs",
    "params": "parameters",
    "memory": "memory",
    "latency": "latency",
    "training_memory": "training memory",
    "activations": "activations",
}
"""Costs by the label of their switch."""


def for_plot(text: object) -> str:
    """Return the text as a label of Plotly, which reads some HTML."""
    return html.escape(for_terminal(text), quote=False)


def figure(traces: Sequence[go.Scatter | go.Bar], **layout: Any) -> Figure:
    """Return a figure without a template of Plotly's, checked by it, as JSON data."""
    base: dict[str, Any] = {
        "template": {},
        "paper_bgcolor": CLEAR,
        "plot_bgcolor": CLEAR,
        "font": {"family": "inherit", "size": 13, "color": MUTED},
        "margin": {"l": 56, "r": 12, "t": 8, "b": 48},
        "hoverlabel": {"bgcolor": PANEL, "bordercolor": LINE, "font": {"color": INK, "size": 13}, "align": "left"},
        "hovermode": "closest",
        "modebar": {"bgcolor": CLEAR, "color": MUTED, "activecolor": ACCENT},
        "showlegend": False,
    }
    made = go.Figure(data=list(traces), layout={**base, **layout})
    found: Figure = json.loads(made.to_json())
    del found["layout"]["template"]
    return found


def axis(title: str = "", **more: Any) -> dict[str, Any]:
    """Return an axis with a quiet grid."""
    return {
        "title": {"text": title, "standoff": 8, "font": {"size": 13}},
        "gridcolor": LINE,
        "linecolor": LINE,
        "zeroline": False,
        "automargin": True,
        **more,
    }


def legend() -> dict[str, Any]:
    """Return a legend in rows above a figure."""
    return {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom", "font": {"size": 12}}


def cost_axis(values: Sequence[float | None], cost: str, title: str) -> dict[str, Any]:
    """Return a logarithmic axis over these costs, with round ticks that carry their unit."""
    known = [value for value in values if value]
    low, high = (min(known), max(known)) if known else (1.0, 10.0)
    margin = max(high / low, 1.02) ** 0.06
    low, high = low / margin, high * margin
    ticks = round_ticks(low, high)[:8]
    return axis(
        title,
        type="log",
        range=[math.log10(low), math.log10(high)],
        tickvals=ticks,
        ticktext=[human(tick, cost) for tick in ticks],
    )


def plain(trace: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trace's changes without empty ones."""
    return {name: value for name, value in trace.items() if value is not None}
