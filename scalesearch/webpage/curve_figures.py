"""Learning curves: of all candidates, with those that the ladder stopped, and of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from scalesearch.plan.ladder import epochs_at
from scalesearch.report.facts import Facts
from scalesearch.webpage.candidates import ShownDetector, curve_of, hover
from scalesearch.webpage.style import ACCENT, INK, LINE, MUTED, Figure, axis, figure, legend


def has_curves(found: Sequence[ShownDetector]) -> bool:
    """Whether a candidate was evaluated more than once."""
    return any(len(one.curve) > 1 for one in found)


def curves_figure(facts: Facts, found: Sequence[ShownDetector]) -> Figure:
    """Return the learning curves of the search's candidates, the stopped ones apart, with the rungs of the ladder."""
    shown = [(number, one) for number, one in enumerate(found) if one.curve]
    stopped = [(number, one) for number, one in shown if one.stopped]
    whole = [(number, one) for number, one in shown if not one.stopped]
    traces = [
        _lines("trained to the end", whole, ACCENT, 0.55),
        _lines("stopped early", stopped, MUTED, 0.45),
        _ends(stopped),
        go.Scatter(
            meta="selected",
            mode="lines+markers",
            line={"color": INK, "width": 3},
            marker={"size": 6, "color": INK},
            hoverinfo="skip",
            showlegend=False,
        ),
    ]
    rungs = epochs_at(facts.plan.ladder, facts.plan.recipe.epochs) if facts.plan.ladder else ()
    lines = [_rung(epochs) for epochs in rungs[:-1]]
    x = axis("epochs", rangemode="tozero")
    return figure(
        traces,
        showlegend=True,
        legend=legend(),
        height=380,
        xaxis=x,
        yaxis=axis("AP on the selection split", tickformat=".2f"),
        shapes=lines,
    )


def _lines(name: str, part: Sequence[tuple[int, ShownDetector]], color: str, opacity: float) -> go.Scatter:
    x: list[float | None] = []
    y: list[float | None] = []
    numbers: list[int | None] = []
    texts: list[str] = []
    for number, one in part:
        for epochs, ap in one.curve:
            x.append(epochs)
            y.append(round(ap, 4))
        x.append(None)
        y.append(None)
        numbers += [number] * len(one.curve) + [None]
        texts += [f"<b>{one.name}</b> · {one.state}"] * len(one.curve) + [""]
    return go.Scatter(
        name=name,
        mode="lines+markers" if len(part) < 60 else "lines",
        x=x,
        y=y,
        customdata=numbers,
        hovertext=texts,
        hovertemplate="%{hovertext}<br>AP %{y:.3f} after %{x} epochs<extra></extra>",
        line={"color": color, "width": 1.3},
        marker={"size": 4, "color": color},
        opacity=opacity,
        visible=bool(part),
    )


def _ends(part: Sequence[tuple[int, ShownDetector]]) -> go.Scatter:
    """Mark where a curve was stopped."""
    return go.Scatter(
        name="last evaluation of a stopped one",
        mode="markers",
        x=[one.curve[-1][0] for _, one in part],
        y=[round(one.curve[-1][1], 4) for _, one in part],
        customdata=[number for number, _ in part],
        hovertext=[hover(one) for _, one in part],
        hovertemplate="%{hovertext}<extra></extra>",
        marker={"symbol": "x-thin", "size": 7, "color": MUTED, "line": {"width": 1.2, "color": MUTED}},
        visible=bool(part),
        showlegend=False,
    )


def _rung(epochs: int) -> dict[str, Any]:
    line = {"color": LINE, "width": 1.5, "dash": "dash"}
    return {
        "type": "line",
        "x0": epochs,
        "x1": epochs,
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": line,
    }


def curve_figure() -> Figure:
    """Return the figure of one candidate's learning curve, empty; `curve_changes` fills it."""
    traces = [
        go.Scatter(
            name="AP in the search",
            mode="lines+markers",
            line={"color": ACCENT, "width": 2},
            marker={"size": 6, "color": ACCENT},
        ),
        go.Scatter(
            name="AP of the full trainings, on val",
            mode="lines+markers",
            line={"color": INK, "width": 1.3},
            marker={"size": 4, "color": INK},
        ),
        go.Scatter(name="training loss", mode="lines", line={"color": MUTED, "width": 1.3, "dash": "dot"}, yaxis="y2"),
    ]
    for trace in traces:
        trace.hovertemplate = "%{y:.3f} after %{x} epochs<extra></extra>"
    return figure(
        traces,
        showlegend=True,
        legend=legend(),
        height=310,
        margin={"l": 44, "r": 40, "t": 8, "b": 40},
        xaxis=axis("epochs", rangemode="tozero"),
        yaxis=axis("", tickformat=".2f", rangemode="tozero"),
        yaxis2={
            **axis("", tickformat=".2f", rangemode="tozero"),
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
        },
    )


def curve_changes(one: ShownDetector) -> dict[str, Any] | None:
    """Return what fills `curve_figure`; None where the candidate has neither two evaluations nor losses."""
    losses = [(epoch, round(float(loss), 4)) for epoch, loss, _, _ in one.row.losses] if one.trial else []
    final = [row for group in one.finals for row in group.rows]
    if not losses and not any(len(curve) > 1 for curve in (one.curve, *map(curve_of, final))):
        return None
    final_x: list[float | None] = []
    final_y: list[float | None] = []
    for points in map(curve_of, final):
        final_x += [*(epochs for epochs, _ in points), None]
        final_y += [*(round(ap, 4) for _, ap in points), None]
    lines = [(list(map(float, x)), y) for x, y in (_pair(one.curve), _pair(losses))]
    (x, y), (loss_x, loss_y) = lines
    data = [
        {"x": x, "y": [round(ap, 4) for ap in y], "visible": bool(x)},
        {"x": final_x, "y": final_y, "visible": bool(final_x)},
        {"x": loss_x, "y": loss_y, "visible": bool(loss_x)},
    ]
    return {"data": data, "layout": {"yaxis2": {"visible": bool(loss_x)}}}


def _pair(points: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [epochs for epochs, _ in points], [value for _, value in points]
