"""Plot of cost over phi: how a family grows. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from scalesearch.cost.budget import human
from scalesearch.io.marks import claim_picture
from scalesearch.io.text import for_picture
from scalesearch.report.saving import save_figure

_COLOURS = ("#2166ac", "#c8553d", "#4d9221", "#762a83", "#b8860b", "#01665e", "#c51b7d", "#5f6b76")
_LABELS = {
    "macs": "FLOPs (multiply-adds)",
    "params": "parameters",
    "memory": "memory of an inference",
    "latency": "predicted latency",
}


def draw_costs(families: Mapping[str, Sequence[tuple[float, Mapping[str, float]]]], path: Path, note: str = "") -> None:
    """Write a plot with a panel for each metric: its value on a logarithmic axis over phi, a line for each family.

    families: name -> (phi, {metric: value}) of each member. `note` stands under the panels. Raises ValueError as
    `claim_picture`, and where no family has two members.
    """
    claim_picture(path)
    lines = {name: sorted(members, key=lambda one: one[0]) for name, members in families.items() if len(members) > 1}
    if not lines:
        raise ValueError(
            "a plot over phi needs two members of a family or more: d0 d1 d2 ..., lite0 lite1 ..., or a plan of unit family"
        )
    metrics = [name for name in _LABELS if name in next(iter(lines.values()))[0][1]]
    picture, panels = plt.subplots(1, len(metrics), figsize=(3.6 * len(metrics), 3.8), squeeze=False)
    for panel, metric in zip(panels[0], metrics, strict=True):
        for colour, (name, members) in zip(_COLOURS * len(lines), lines.items(), strict=False):
            phis, values = [phi for phi, _ in members], [costs[metric] for _, costs in members]
            panel.plot(phis, values, "o-", color=colour, label=for_picture(name), markersize=4, linewidth=1.4)
        panel.set_yscale("log")
        panel.margins(y=0.08)
        panel.set_title(_LABELS[metric], fontsize=10)
        panel.set_xlabel("phi")
        panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(lambda value, _, metric=metric: human(value, metric))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(which="major", color="#dfe6ee", linewidth=0.8)
        panel.spines[["top", "right"]].set_visible(False)
    if len(lines) > 1:
        panels[0][0].legend(fontsize=8, frameon=False)
    picture.tight_layout(rect=(0, 0.05 if note else 0, 1, 1))
    picture.text(0.01, 0.01, for_picture(note), fontsize=7.5, color="#5f6b76")
    save_figure(picture, path, dpi=150, alone=True)
    plt.close(picture)
