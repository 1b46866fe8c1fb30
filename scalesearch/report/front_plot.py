"""Plot of the front: accuracy against cost, with candidates, baselines and bands. Drawing only."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from scalesearch.cost.budget import human
from scalesearch.evidence.noise import Group
from scalesearch.io.text import for_picture
from scalesearch.records.trials import Trial
from scalesearch.report.facts import Facts
from scalesearch.report.saving import save_figure
from scalesearch.space.space import shown

_BLUE, _ORANGE, _GREY, _GREEN = "#2166ac", "#d6604d", "#8a8a8a", "#1b7837"
_NAMED = 8
"""Number of families that get a colour and a name: more could not be distinguished."""
_COSTS = {
    "macs": "FLOPs (multiply-adds) of one image",
    "params": "parameters",
    "activations": "activations of one image",
    "memory": "inference memory of one image",
    "latency": "predicted latency of one image",
}


def draw_front(facts: Facts, path: Path) -> None:
    """Write the plot of a study to `path`, whose suffix gives the format: a panel for each cost of its objectives."""
    count = len(facts.costs)
    figure, panels = plt.subplots(
        1, count, figsize=(8 if count == 1 else 5.5 * count, 5.5), layout="constrained", sharey=True, squeeze=False
    )
    for axes, cost in zip(panels[0], facts.costs, strict=True):
        _panel(axes, facts, cost)
    panels[0][0].set_ylabel("AP at IoU 0.50:0.95 (COCO)")
    figure.suptitle(f"{for_picture(facts.plan.name)}: accuracy against cost", fontsize="large")
    labelled = {
        label: handle for axes in panels[0] for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if labelled:
        figure.legend(
            labelled.values(), labelled.keys(), fontsize=8, loc="outside lower center", ncols=2, frameon=False
        )
    save_figure(figure, path, dpi=150)
    plt.close(figure)


def _panel(axes: Axes, facts: Facts, cost: str) -> None:
    _bands(axes, facts, cost)
    if facts.plan.family:
        _families(axes, facts, cost)
    else:
        _candidates(axes, facts, cost)
    _finals(axes, facts.winners, cost, _ORANGE, "D", "winners, fully trained, on val (mean; bar: range over seeds)")
    _finals(axes, facts.baselines, cost, _GREEN, "s", "baselines, trained like the winners, on val")
    if not any(trial.complete for trial in facts.trials):
        axes.text(
            0.5, 0.5, "no candidate has been trained to the end", transform=axes.transAxes, ha="center", color=_GREY
        )
    _labels(axes, facts, cost)
    _names(axes, facts.baselines, cost)


def _bands(axes: Axes, facts: Facts, cost: str) -> None:
    bounds = [band.bounds[cost] for band in facts.plan.bands if cost in band.bounds]
    for i, bound in enumerate(bounds):
        if bound.low > 0 and math.isfinite(bound.high):
            axes.axvspan(bound.low, bound.high, color="#f0f4f8", zorder=0, label=None if i else "band")
        else:
            end = bound.high if math.isfinite(bound.high) else bound.low
            axes.axvline(end, color="#9fb3c8", linewidth=1, zorder=0, label=None if i else "limit of the band")


def _candidates(axes: Axes, facts: Facts, cost: str) -> None:
    where = "on the selection split"
    _dots(axes, facts.random, cost, f"random draws from the band, {where}", facecolors="none", edgecolors=_GREY)
    names = sorted({trial.proposed_by for trial in facts.asked})
    _dots(axes, facts.asked, cost, f"proposed by {for_picture(', '.join(names))}, {where}", color=_BLUE)
    best = sorted((trial.value(cost), trial.value("ap")) for trial in facts.best_at(cost))
    alone = len(facts.costs) > 1
    if len(best) > 1:
        label = "front of AP and this cost alone" if alone else "front of the search"
        axes.step(*zip(*best, strict=True), where="post", color=_BLUE, linewidth=1, label=label)
    if alone:
        x, y = [trial.value(cost) for trial in facts.front], [trial.value("ap") for trial in facts.front]
        style = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.8}
        axes.scatter(x, y, s=90, label="front of the search, over all objectives", zorder=3, **style)  # type: ignore[arg-type]
    if unsure := [trial for trial in facts.front if (facts.not_told_apart or {}).get(trial.ordinal)]:
        x, y = [trial.value(cost) for trial in unsure], [trial.value("ap") for trial in unsure]
        label = "on the front, but not told apart from one that costs no more (95 %)"
        axes.scatter(x, y, s=34, color="white", edgecolors=_BLUE, linewidths=1.2, label=label, zorder=4)
    proxy = {row.spec_id: trial.value("ap") for trial in facts.trials if trial.complete for row in trial.rows}
    for group in facts.winners:
        spread = group.spread()
        if spread and group.first.spec_id in proxy:
            x_of = group.first.cost[cost]
            ends = [proxy[group.first.spec_id], spread.mean]
            axes.plot([x_of, x_of], ends, color=_ORANGE, linewidth=0.8, linestyle=":")


def _dots(axes: Axes, trials: list[Trial], cost: str, label: str, **style: str) -> None:
    if trials:
        x, y = [t.value(cost) for t in trials], [t.value("ap") for t in trials]
        axes.scatter(x, y, s=34, label=label, zorder=3, **style)  # type: ignore[arg-type]


def _families(axes: Axes, facts: Facts, cost: str) -> None:
    """Draw a line through the members of each family. The best by mean AP are named; the best of the front is thick."""
    best = facts.front[0].ordinal if facts.front else None
    complete = [trial for trial in facts.trials if trial.complete]
    named = {trial.ordinal for trial in sorted(complete, key=lambda trial: -trial.value("ap"))[:_NAMED]}
    for trial in complete:
        x = [row.cost[cost] for row in trial.rows]
        y = [row.final["ap"] for row in trial.rows]
        axes.plot(
            x,
            y,  # type: ignore[arg-type]
            marker="o",
            markersize=5,
            **_line(trial, named=trial.ordinal in named, best=trial.ordinal == best),
        )


def _line(trial: Trial, *, named: bool, best: bool) -> dict[str, Any]:
    if not named:
        return {"color": "#d0d0d0", "linewidth": 1, "zorder": 1}
    label = f"{for_picture(shown(trial.point))}: mean AP {trial.value('ap'):.3f}"
    return {"linewidth": 2.5, "label": f"{label} (best)"} if best else {"linewidth": 1, "label": label}


def _finals(axes: Axes, groups: list[Group], cost: str, color: str, marker: str, label: str) -> None:
    drawn = False
    for group in groups:
        spread = group.spread()
        if spread is None:
            continue
        low, high = spread.mean - min(spread.values), max(spread.values) - spread.mean
        axes.errorbar(
            group.first.cost[cost],
            spread.mean,
            yerr=[[low], [high]],
            fmt=marker,
            color=color,
            markersize=7,
            capsize=4,
            zorder=4,
            label=None if drawn else label,
        )
        drawn = True


def _labels(axes: Axes, facts: Facts, cost: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_xlim()
    axes.set_xticks(round_ticks(low, high))
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: human(value, cost)))
    axes.margins(y=0.08)
    axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
    rows = [row for trial in facts.trials for row in trial.rows]
    classes = f"{rows[0].spec.classes} classes, " if rows else ""
    axes.set_xlabel(f"{_COSTS[cost]}, {classes}input {facts.sizes}" if rows else _COSTS[cost])
    axes.grid(alpha=0.25)


def _names(axes: Axes, groups: list[Group], cost: str) -> None:
    """Write the names of designs beside their marks, on the side where there is room."""
    for group in groups:
        if spread := group.spread():
            at = (group.first.cost[cost], spread.mean)
            right = axes.transAxes.inverted().transform(axes.transData.transform(at))[0] > 0.8
            style = {"xytext": (-6 if right else 6, 4), "ha": "right" if right else "left"}
            axes.annotate(for_picture(group.first.name), at, textcoords="offset points", **style)  # type: ignore[arg-type]


def round_ticks(low: float, high: float) -> list[float]:
    """Return round ticks of a logarithmic axis: 1, 2, 5 of each decade, or evenly spaced ones below a factor of 6."""
    if high < 6 * low:
        ticks = MaxNLocator(5).tick_values(low, high)
    else:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
        ticks = [step * 10.0**decade for decade in decades for step in (1, 2, 5)]
    found = [float(tick) for tick in ticks if low <= tick <= high]
    return found[:: max(1, len(found) // 8)]
