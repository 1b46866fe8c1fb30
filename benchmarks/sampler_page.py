"""The page, the table and the pictures of what compare_samplers.py found. Reads its files only.

python benchmarks/sampler_page.py            # of results/benchmarks/samplers
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from compare_samplers import OUT, PROBLEMS, RUNS
from matplotlib.axes import Axes
from numpy.typing import NDArray
from opponents import POPULATION
from sampler_statistics import (
    BASE,
    LEAST_SEEDS,
    REFERENCE,
    RESAMPLES,
    Results,
    against,
    by_table,
    mean_ranks,
    overview,
    read_results,
    table,
)
from table_problems import NAMES, STARTUP, TRIALS

from scalesearch.evidence.noise import Spread

VOLUME, REGRET, TABLE, PAGE = "volume.png", "regret.png", "table.csv", "samplers.md"
_COLOURS = {
    "random": "#8a8a8a",
    "qmc": "#c2a5cf",
    "tpe": "#2166ac",
    "nsga2": "#1b7837",
    "evolution": "#b8860b",
    "gp": "#762a83",
    "ehvi": "#d6001c",
    "optuna-tpe": "#67a9cf",
    "optuna-nsga2": "#7fbf7b",
    "optuna-gp": "#af8dc3",
    "pymoo-nsga2": "#a6611a",
    "smac-parego": "#f4a582",
}


def draw(results: Results, what: str, label: str, file: Path) -> None:
    """Draw the mean over seeds with its 95 % interval against evaluations, one panel a table."""
    columns = 4
    rows = math.ceil((len(results.tables) + 1) / columns)
    figure, panels = plt.subplots(rows, columns, figsize=(4.0 * columns, 3.0 * rows), layout="constrained")
    for axes in panels.flat:
        axes.set_axis_off()
    for axes, name in zip(panels.flat, results.tables, strict=False):
        axes.set_axis_on()
        for one in (*results.samplers, *results.partial):
            if (name, one) in results.runs:
                _curve(axes, one, results.curves(name, one, what))
        axes.set_title(name, fontsize=10)
        axes.grid(alpha=0.25)
        axes.set_xlim(1, TRIALS)
        axes.set_ylim(0, 1)
    for axes in panels[-1]:
        axes.set_xlabel("evaluations")
    figure.supylabel(label, fontsize=10)
    handles = [
        plt.Line2D([], [], color=_COLOURS[one], linewidth=2.4 if one == REFERENCE else 1.4, label=one)
        for one in (*results.samplers, *results.partial)
    ]
    panels.flat[-1].legend(handles=handles, loc="center", fontsize=9, frameon=False)
    figure.savefig(file, dpi=90)
    plt.close(figure)


def _curve(axes: Axes, sampler: str, curves: NDArray[np.float64]) -> None:
    x = np.arange(1, curves.shape[1] + 1)
    wide = sampler == REFERENCE
    axes.plot(x, curves.mean(axis=0), color=_COLOURS[sampler], linewidth=2.2 if wide else 1.2)
    if wide or sampler == BASE:
        ends = [Spread(tuple(column)).interval for column in curves.T.tolist()]
        if all(ends):
            low, high = zip(*(end for end in ends if end), strict=True)
            axes.fill_between(x, low, high, color=_COLOURS[sampler], alpha=0.15, linewidth=0)


def _markdown(lines: Sequence[Mapping[str, object]]) -> list[str]:
    names = list(lines[0])
    rows = ["| " + " | ".join(str(line[name]) for name in names) + " |" for line in lines]
    return ["| " + " | ".join(names) + " |", "|" + "---|" * len(names), *rows]


def page(results: Results, problems: Sequence[Mapping[str, object]]) -> str:
    """Return the page."""
    ranks = mean_ranks(results)
    software = sorted({run.software for runs in results.runs.values() for run in runs})
    intro = f"""# Samplers on tables that others measured

A search has {TRIALS} evaluations, each of a point of a table (one of its recorded seeds). The band is the points from the
20th to the 40th percentile of the cost; of `landscape` it is that of `search_spaces/landscape.yaml`. Samplers with a name
of one word are ours and stay in the band (the first {STARTUP} candidates are random); the others search the whole space,
are told of the band by constraints (smac-parego: by a penalty), and an evaluation outside the band counts as any other.
Populations of the others' NSGA-II are {POPULATION}; all else is their default.

`volume`: hypervolume of the true values (mean of the recorded seeds) of the front by observed score among the points inside
the band, as a share of that of the whole band's front; score from the band's median, cost by logarithm, from a tenth of
its range beyond the dearest. `regret`: what the true score of the point with the best observed score lacks to the best in
the band, as a share of what the median lacks. ± is half of the 95 % interval over seeds (Student's t).

Software: {", ".join(software)}. One thread each. Commands: in `benchmarks/compare_samplers.py`.
"""
    lines = [intro, *_markdown(problems), "", "## Over all tables", "", *_markdown(overview(results)), ""]
    legend = (
        f"`rank`: mean over tables of the rank by mean volume after {TRIALS} evaluations. Friedman's chi-squared is "
        f"{ranks.statistic:.1f} (p = {ranks.p:.1e}); mean ranks differ at the 5 % level where they are "
        f"{ranks.difference:.2f} apart (Nemenyi, k = {len(ranks.mean)}, N = {len(results.tables)}). `evaluations for "
        f"random's {TRIALS}`: until the mean volume is that of random after {TRIALS}; geometric mean over tables, 95 % by "
        f"{RESAMPLES:,} bootstrap resamples of seeds; where a sampler never gets there it counts as {TRIALS}. `best or not "
        "told from it`: tables on which the paired difference to the one with the highest mean does not leave 0 out, over "
        f"the seeds that both have. `seeds`: fewer for slow samplers, which are not ranked with fewer than {LEAST_SEEDS}. `seconds`: processor time of a search."
    )
    lines += [legend, "", f"![volume]({VOLUME})", f"![regret]({REGRET})"]
    for title, found in (
        (f"Volume after {TRIALS} evaluations", by_table(results, "volume")),
        (f"Regret after {TRIALS} evaluations", by_table(results, "regret")),
        (f"Volume less that of {REFERENCE}, paired by seed", against(results, REFERENCE)),
    ):
        lines += ["", f"## {title}", "", *_markdown(found)]
    lines += ["", "**+** and **-**: the interval of the difference leaves 0 out."]
    if results.partial:
        fewer = [
            f"{one} ({sum(len(results.runs.get((name, one), ())) for name in results.tables)} searches on "
            f"{sum((name, one) in results.runs for name in results.tables)} tables)"
            for one in results.partial
        ]
        lines += ["", f"Not ranked, as their searches take long and there are few: {', '.join(fewer)}."]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, default=OUT)
    out = parser.parse_args().out
    results = read_results(out / RUNS)
    problems = [json.loads(line) for line in (out / PROBLEMS).read_text().splitlines()]
    problems.sort(key=lambda one: NAMES.index(one["table"]))
    table(results).to_csv(out / TABLE, index=False)
    draw(results, "volume", "volume (share of the band's, score from its median)", out / VOLUME)
    draw(results, "regret", "regret (1: a median point)", out / REGRET)
    (out / PAGE).write_text(page(results, problems))
    print(pd.DataFrame(overview(results)).to_string(index=False))


if __name__ == "__main__":
    main()
