"""The figure of the front: AP against a cost that can be switched, with candidates, winners, named designs and bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from scalesearch.evidence.noise import Group
from scalesearch.records.pareto import non_dominated
from scalesearch.report.facts import Facts
from scalesearch.webpage.candidates import ShownDetector, costs_of, hover
from scalesearch.webpage.style import (
    ACCENT,
    CLEAR,
    COSTS,
    GROUND,
    INK,
    LINE,
    MUTED,
    Figure,
    axis,
    cost_axis,
    figure,
    for_plot,
    legend,
)

SHOWN = ("macs", "params", "latency", "memory")
"""Costs that have a switch; other objectives are added."""
_STOPPED, _RANDOM, _ASKED = 0, 1, 2


def front_figure(facts: Facts, found: Sequence[ShownDetector]) -> Figure:
    """Return the figure, whose `views` hold for each cost what its traces and layout change."""
    finals = [(number, group) for number, one in enumerate(found) for group in one.finals]
    parts = [_part(facts, found, which) for which in (_STOPPED, _RANDOM, _ASKED)]
    unsure = _unsure(facts, found)
    names = ", ".join(sorted({trial.proposed_by for trial in facts.asked})) or "the sampler"
    traces = [
        _candidates(found, parts[_STOPPED], "stopped early, at its last epoch", symbol="x-thin", color=MUTED, line=1.2),
        _candidates(found, parts[_RANDOM], "random in the band", symbol="circle-open", color=MUTED, line=1.5),
        _candidates(found, parts[_ASKED], f"proposed by {for_plot(names)}", symbol="circle", color=ACCENT, line=0),
        go.Scatter(
            name="front of the search",
            mode="lines",
            line={"color": ACCENT, "width": 1.5, "shape": _shape(facts)},
            hoverinfo="skip",
        ),
        go.Scatter(mode="lines", line={"color": MUTED, "width": 1, "dash": "dot"}, hoverinfo="skip", showlegend=False),
        go.Scatter(mode="lines", line={"color": LINE, "width": 1.2}, hoverinfo="skip", showlegend=False),
        go.Scatter(
            name="on the front, but not told apart",
            mode="markers",
            y=[_round(found[number].ap) for number in unsure],
            marker={"symbol": "circle", "size": 8, "color": GROUND, "line": {"width": 2, "color": ACCENT}},
            hoverinfo="skip",
            visible=bool(unsure),
        ),
        _finals(found, finals, "winner", "winner, fully trained, on val", "diamond"),
        _finals(found, finals, "baseline", "named design, trained like the winners", "square-open"),
        go.Scatter(
            meta="selected",
            mode="markers",
            marker={"symbol": "circle-open", "size": 18, "color": INK, "line": {"width": 2}},
            hoverinfo="skip",
            showlegend=False,
        ),
    ]
    made = figure(
        traces,
        showlegend=True,
        legend=legend(),
        height=460,
        xaxis=axis(),
        yaxis=axis("AP (IoU 0.50:0.95)", tickformat=".2f"),
    )
    made["views"] = {cost: _view(facts, found, parts, unsure, finals, cost) for cost in costs_shown(facts, found)}
    return made


def costs_shown(facts: Facts, found: Sequence[ShownDetector]) -> list[str]:
    """Return the costs to switch between: those that a candidate has, the first objective first."""
    known = {name for one in found for name in costs_of(one.row)}
    wanted = dict.fromkeys((*facts.costs, *SHOWN))
    return [name for name in wanted if name in known]


def _shape(facts: Facts) -> str:
    return "linear" if facts.plan.family else "hv"


def _part(facts: Facts, found: Sequence[ShownDetector], which: int) -> list[int]:
    """Return the numbers of the candidates of one kind that have an AP."""
    random = {trial.ordinal for trial in facts.trials if trial.proposed_by == "random"}

    def kind(one: ShownDetector) -> int:
        return _STOPPED if one.stopped else _RANDOM if one.row.ordinal in random else _ASKED

    return [number for number, one in enumerate(found) if one.trial and one.runs and kind(one) == which]


def _unsure(facts: Facts, found: Sequence[ShownDetector]) -> list[int]:
    """Return the numbers of the candidates of the front that noise does not tell from one that costs no more."""
    near = {} if facts.plan.family else facts.not_told_apart or {}
    return [number for number, one in enumerate(found) if one.trial and near.get(one.row.ordinal)]


def _candidates(
    found: Sequence[ShownDetector], part: Sequence[int], name: str, *, symbol: str, color: str, line: float
) -> go.Scatter:
    chosen = [found[number] for number in part]
    faint = 0.55 if symbol == "x-thin" else 1.0
    several = any(len(one.runs) > 1 for one in chosen)
    bars = _bars([one.runs for one in chosen], color, 1) if several else None
    return go.Scatter(
        name=name,
        mode="markers",
        y=[_round(one.ap) for one in chosen],
        error_y=bars,
        customdata=list(part),
        hovertext=[hover(one) for one in chosen],
        hovertemplate="%{hovertext}<extra></extra>",
        marker={"symbol": symbol, "size": 9, "color": color, "opacity": faint, "line": {"width": line, "color": color}},
        visible=bool(chosen),
    )


def _finals(
    found: Sequence[ShownDetector], finals: Sequence[tuple[int, Group]], kind: str, name: str, symbol: str
) -> go.Scatter:
    own = [(number, group) for number, group in finals if group.first.kind == kind and group.spread()]
    values = [[row.final["ap"] or 0.0 for row in group.rows if row.final.get("ap") is not None] for _, group in own]
    return go.Scatter(
        name=name,
        mode="markers+text" if kind == "baseline" else "markers",
        text=[for_plot(found[number].name) for number, _ in own] if kind == "baseline" else None,
        textposition="top right",
        textfont={"size": 11, "color": INK},
        y=[_round(sum(aps) / len(aps)) for aps in values],
        error_y=_bars(values, INK, 1.5),
        customdata=[number for number, _ in own],
        hovertext=[hover(found[number]) for number, _ in own],
        hovertemplate="%{hovertext}<extra></extra>",
        marker={"symbol": symbol, "size": 11, "color": INK, "line": {"width": 1.5, "color": INK}},
        visible=bool(own),
    )


def _bars(values: Sequence[Sequence[float]], color: str, thick: float) -> dict[str, Any]:
    """Return error bars from the lowest to the highest seed."""
    means = [sum(aps) / len(aps) for aps in values]
    return {
        "type": "data",
        "symmetric": False,
        "array": [_round(max(aps) - mean) for aps, mean in zip(values, means, strict=True)],
        "arrayminus": [_round(mean - min(aps)) for aps, mean in zip(values, means, strict=True)],
        "color": color,
        "thickness": thick,
        "width": 4,
    }


def _view(
    facts: Facts,
    found: Sequence[ShownDetector],
    parts: Sequence[Sequence[int]],
    unsure: Sequence[int],
    finals: Sequence[tuple[int, Group]],
    cost: str,
) -> dict[str, Any]:
    """Return what the figure's traces and layout become for this cost."""

    def x(number: int) -> float | None:
        return costs_of(found[number].row).get(cost)

    front = _front(facts, found, cost)
    links_x: list[float | None] = []
    links_y: list[float | None] = []
    for number, group in finals:
        one, spread = found[number], group.spread()
        if one.runs and spread:
            links_x += [x(number), x(number), None]
            links_y += [_round(one.ap), _round(spread.mean), None]
    changes = [{"x": [x(number) for number in part]} for part in parts]
    changes.append({"x": [value for value, _ in front], "y": [ap for _, ap in front]})
    changes += [{"x": links_x, "y": links_y}, _families(facts, found, cost), {"x": [x(number) for number in unsure]}]
    for kind in ("winner", "baseline"):
        changes.append({"x": [x(number) for number, group in finals if group.first.kind == kind and group.spread()]})
    values = [x(number) for number in range(len(found))]
    title = {"params": "parameters", "macs": "FLOPs (multiply-adds) of one image"}.get(
        cost, f"{COSTS[cost]} of one image"
    )
    layout = {"xaxis": cost_axis(values, cost, title), "shapes": _bands(facts, cost)}
    return {"label": COSTS[cost], "data": changes, "layout": layout}


def _front(facts: Facts, found: Sequence[ShownDetector], cost: str) -> list[tuple[float | None, float | None]]:
    """Return the corners of the front of AP and this cost; for families, the members of the best one."""
    if facts.plan.family:
        best = facts.front[0].ordinal if facts.front else None
        own = [one for one in found if one.trial and one.row.ordinal == best]
        return sorted((costs_of(one.row).get(cost), _round(one.ap)) for one in own)
    done = [
        one for one in found if one.trial and one.row.state == "complete" and one.runs and cost in costs_of(one.row)
    ]
    if cost in facts.plan.objectives:
        best_ones = {trial.ordinal for trial in facts.best_at(cost)}
        done = [one for one in done if one.row.ordinal in best_ones]
    else:
        done = non_dominated(done, lambda one: (one.ap or 0.0, costs_of(one.row)[cost]), ("ap", cost))
    return sorted((costs_of(one.row)[cost], _round(one.ap)) for one in done)


def _families(facts: Facts, found: Sequence[ShownDetector], cost: str) -> dict[str, list[float | None]]:
    """Return lines through the members of each family; none where the candidates are single detectors."""
    x: list[float | None] = []
    y: list[float | None] = []
    before = None
    for one in found if facts.plan.family else ():
        if one.trial:
            if before not in (None, one.row.ordinal):
                x.append(None)
                y.append(None)
            x.append(costs_of(one.row).get(cost))
            y.append(_round(one.ap))
            before = one.row.ordinal
    return {"x": x, "y": y}


def _bands(facts: Facts, cost: str) -> list[dict[str, Any]]:
    """Return the band as a shade between its limits, or a line at its only one."""
    shapes: list[dict[str, Any]] = []
    for bound in (band.bounds[cost] for band in facts.plan.bands if cost in band.bounds):
        base = {"yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
        if bound.low > 0 and math.isfinite(bound.high):
            shapes.append(
                {
                    **base,
                    "type": "rect",
                    "x0": bound.low,
                    "x1": bound.high,
                    "fillcolor": PANEL_FILL,
                    "line": {"width": 0, "color": CLEAR},
                }
            )
        else:
            end = bound.high if math.isfinite(bound.high) else bound.low
            shapes.append(
                {**base, "type": "line", "x0": end, "x1": end, "line": {"color": LINE, "width": 1.5, "dash": "dash"}}
            )
    return shapes


PANEL_FILL = "var(--band)"


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 5)
