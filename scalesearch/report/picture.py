"""The front as a picture: accuracy against cost, with what it stands on. Only drawing happens here."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from scalesearch.arch.budget import human
from scalesearch.arch.space import shown
from scalesearch.evidence.noise import Group
from scalesearch.records.trials import Trial
from scalesearch.report.facts import Facts

_BLUE, _ORANGE, _GREY, _GREEN = "#2166ac", "#d6604d", "#8a8a8a", "#1b7837"


def draw_front(facts: Facts, path: Path) -> None:
    """Write the picture of a study to `path` (its suffix gives the format)."""
    figure, axes = plt.subplots(figsize=(8, 5.5), layout="constrained")
    _bands(axes, facts)
    if facts.plan.family:
        _families(axes, facts)
    else:
        _candidates(axes, facts)
    _finals(axes, facts.winners, _ORANGE, "D", "winners, fully trained, on val (mean; bar: range over seeds)")
    _finals(axes, facts.baselines, _GREEN, "s", "named designs, trained alike, on val")
    for group in facts.baselines:
        spread = group.spread()
        if spread:
            axes.annotate(
                group.first.name, (group.first.cost["macs"], spread.mean), xytext=(6, 4), textcoords="offset points"
            )
    _labels(axes, facts)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(fontsize=8, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def _bands(axes: Axes, facts: Facts) -> None:
    for i, bound in enumerate(band.macs for band in facts.plan.bands if band.macs):
        if bound.low > 0 and bound.high < float("inf"):
            axes.axvspan(bound.low, bound.high, color="#f0f4f8", zorder=0, label=None if i else "band")


def _candidates(axes: Axes, facts: Facts) -> None:
    where = "on the selection split"
    _dots(axes, facts.random, f"random inside the band, {where}", facecolors="none", edgecolors=_GREY)
    names = sorted({trial.proposed_by for trial in facts.asked})
    _dots(axes, facts.asked, f"proposed by {', '.join(names)}, {where}", color=_BLUE)
    front = sorted((trial.value("macs"), trial.value("ap")) for trial in facts.front)
    if len(front) > 1:
        axes.step(*zip(*front, strict=True), where="post", color=_BLUE, linewidth=1, label="front of the search")
    proxy = {row.spec_id: trial.value("ap") for trial in facts.trials if trial.complete for row in trial.rows}
    for group in facts.winners:
        spread = group.spread()
        if spread and group.first.spec_id in proxy:
            x = group.first.cost["macs"]
            axes.plot([x, x], [proxy[group.first.spec_id], spread.mean], color=_ORANGE, linewidth=0.8, linestyle=":")


def _dots(axes: Axes, trials: list[Trial], label: str, **style: str) -> None:
    if trials:
        x, y = [t.value("macs") for t in trials], [t.value("ap") for t in trials]
        axes.scatter(x, y, s=34, label=label, zorder=3, **style)  # type: ignore[arg-type]


def _families(axes: Axes, facts: Facts) -> None:
    """A line for each set of coefficients through its members; the best by mean AP is drawn thick."""
    best = facts.front[0].ordinal if facts.front else None
    for trial in facts.trials:
        if not trial.complete:
            continue
        x = [row.cost["macs"] for row in trial.rows]
        y = [row.final["ap"] for row in trial.rows]
        name = shown(trial.point)
        axes.plot(
            x,
            y,  # type: ignore[arg-type]
            marker="o",
            markersize=5,
            linewidth=2.5 if trial.ordinal == best else 1,
            label=f"{name}: mean AP {trial.value('ap'):.3f}" + (" (best)" if trial.ordinal == best else ""),
        )


def _finals(axes: Axes, groups: list[Group], color: str, marker: str, label: str) -> None:
    drawn = False
    for group in groups:
        spread = group.spread()
        if spread is None:
            continue
        low, high = spread.mean - min(spread.values), max(spread.values) - spread.mean
        axes.errorbar(
            group.first.cost["macs"],
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


def _labels(axes: Axes, facts: Facts) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_xlim()
    axes.set_xticks(_ticks(low, high))
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: human(value)))
    axes.margins(y=0.08)
    axes.set_ylim(bottom=max(0.0, axes.get_ylim()[0]))
    rows = [row for trial in facts.trials for row in trial.rows]
    classes = f"{rows[0].spec.classes} classes, " if rows else ""
    axes.set_xlabel(f"FLOPs (multiply-adds) of one image, {classes}input {facts.sizes}")
    axes.set_ylabel("AP at IoU 0.50:0.95 (COCO)")
    axes.set_title(f"{facts.plan.name}: accuracy against cost")
    axes.grid(alpha=0.25)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers on a logarithmic axis: 1, 2, 5 a decade, or finer where fewer than three fall inside."""
    for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), tuple(i / 10 for i in range(10, 100, 2))):
        ticks = [step * 10.0**decade for decade in range(3, 14) for step in steps if low <= step * 10**decade <= high]
        if len(ticks) >= 3:
            break
    return ticks[:: max(1, len(ticks) // 8)]
