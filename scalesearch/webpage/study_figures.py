"""Figures of a search as a whole: the importance of its axes, and hypervolume against compute."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from scalesearch.evidence.importance import Importance
from scalesearch.records.trials import Trial
from scalesearch.webpage.progress import ProgressStep
from scalesearch.webpage.style import ACCENT, INK, MUTED, Figure, axis, figure, for_plot, legend


def importance_figure(found: Sequence[Importance]) -> Figure:
    """Return a bar for each axis, the most important on top, with its interval."""
    ordered = sorted(found, key=lambda one: one.share)
    bars = go.Bar(
        orientation="h",
        x=[round(one.share, 4) for one in ordered],
        y=[for_plot(one.axis.replace("_", " ")) for one in ordered],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [round(max(0.0, one.high - one.share), 4) for one in ordered],
            "arrayminus": [round(max(0.0, one.share - one.low), 4) for one in ordered],
            "color": INK,
            "thickness": 1.5,
            "width": 5,
        },
        marker={"color": ACCENT},
        hovertemplate="%{y}: %{x:.0%}<extra></extra>",
        width=0.55,
    )
    x = axis("share of the variance of AP", tickformat=".0%", rangemode="tozero")
    y = axis(automargin=True, showgrid=False, tickfont={"color": INK}, fixedrange=True)
    return figure([bars], height=70 + 44 * len(ordered), xaxis=x, yaxis=y)


def progress_figure(steps: Sequence[ProgressStep], trials: Sequence[Trial]) -> Figure:
    """Return hypervolume over hours of training, with a mark for each trial that raised it."""
    by = {trial.ordinal: trial.proposed_by for trial in trials}
    raised = [
        step
        for before, step in zip([None, *steps], steps, strict=False)
        if step.share > (before.share if before else 0.0)
    ]
    traces = [
        go.Scatter(
            name="so far",
            mode="lines",
            x=[round(step.hours, 4) for step in steps],
            y=[round(step.share, 4) for step in steps],
            line={"color": ACCENT, "width": 2, "shape": "hv"},
            hoverinfo="skip",
            showlegend=False,
        )
    ]
    for name, random in (("raised by a random draw", True), ("raised by the sampler", False)):
        own = [step for step in raised if (by[step.ordinal] == "random") == random]
        traces.append(
            go.Scatter(
                name=name,
                mode="markers",
                x=[round(step.hours, 4) for step in own],
                y=[round(step.share, 4) for step in own],
                hovertext=[f"trial {step.ordinal}" for step in own],
                hovertemplate="%{hovertext}: %{y:.1%} after %{x:.2f} hours of training<extra></extra>",
                marker={
                    "symbol": "circle-open" if random else "circle",
                    "size": 9,
                    "color": MUTED if random else ACCENT,
                    "line": {"width": 1.5, "color": MUTED if random else ACCENT},
                },
                visible=bool(own),
            )
        )
    x = axis("hours of training, one after another", rangemode="tozero")
    y = axis("share of the final hypervolume", tickformat=".0%", range=[0, 1.04])
    return figure(traces, showlegend=True, legend=legend(), height=340, xaxis=x, yaxis=y)
