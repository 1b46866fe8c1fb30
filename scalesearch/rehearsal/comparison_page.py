"""Table, plot and page of compared rehearsals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes

from scalesearch.evidence.noise import Spread
from scalesearch.io.publish import publish
from scalesearch.rehearsal.comparison import Compared, curve
from scalesearch.report.saving import save_figure

TABLE, CURVES, PICTURE, PAGE = "table.csv", "curves.csv", "rehearsal.png", "rehearsal.md"
_COLOURS = ("#8a8a8a", "#2166ac", "#d6604d", "#1b7837", "#762a83", "#b8860b", "#01665e")

HEADINGS = (
    "search", "seeds x candidates", "epochs", "hypervolume", "of full training's", "full training then",
    "above the median", "of full training's", "minus random's",
)  # fmt: skip


def lines(found: Sequence[Compared]) -> list[tuple[str, ...]]:
    """Return the table's lines under `HEADINGS`; numbers are a mean and half of its 95 % interval."""
    return [
        (
            name(one),
            f"{len(one.runs)} x {max(run.candidates for run in one.runs)}",
            f"{one.share.mean:.1%}",
            spread_text(one.spread(lambda step: step.volume)),
            spread_text(one.of_full),
            spread_text(one.full_then),
            spread_text(one.spread(lambda step: step.above)),
            spread_text(one.of_full_above),
            spread_text(one.over_random),
        )
        for one in found
    ]


def name(one: Compared) -> str:
    """Return the sampler's name, with `, ladder` if it used the ladder."""
    return one.first.sampler + (", ladder" if one.first.ladder else "")


def spread_text(spread: Spread | None) -> str:
    """Return the mean and half of its 95 % interval."""
    if spread is None:
        return "-"
    if spread.interval is None:
        return f"{spread.mean:.3f}"
    return f"{spread.mean:.3f} ± {spread.interval[1] - spread.mean:.3f}"


def to_dict(one: Compared) -> dict[str, object]:
    """Return the plain numbers of one line: each mean with the ends of its 95 % interval."""
    data: dict[str, object] = {
        "sampler": one.first.sampler,
        "ladder": one.first.ladder,
        "seeds": len(one.runs),
        "trials": one.first.trials,
        "ended": Spread(tuple(run.ended for run in one.runs)).mean,
    }
    spreads = {
        "epochs_share": one.share,
        "seconds": one.spread(lambda step: step.seconds),
        "volume": one.spread(lambda step: step.volume),
        "volume_of_full": one.of_full,
        "volume_of_full_then": one.full_then,
        "above": one.spread(lambda step: step.above),
        "above_of_full": one.of_full_above,
        "above_minus_random": one.over_random,
    }
    for what, spread in spreads.items():
        low, high = (spread and spread.interval) or (None, None)
        data |= {what: spread.mean if spread else None, f"{what}_low": low, f"{what}_high": high}
    return data


def write_rehearsal(folder: Path, found: Sequence[Compared], facts: Sequence[str], epochs: int) -> Path:
    """Write table.csv, curves.csv, the plot and the page; `epochs` are those of one full training."""
    publish(folder / TABLE, pd.DataFrame([to_dict(one) for one in found]).round(5).to_csv(index=False))
    publish(folder / CURVES, _curves_table(found).to_csv(index=False))
    draw_rehearsal(found, folder / PICTURE, epochs)
    path = folder / PAGE
    publish(path, _page(found, facts))
    return path


def _curves_table(found: Sequence[Compared]) -> pd.DataFrame:
    table = []
    for one in found:
        for point in curve(one.runs, 20):
            line: dict[str, object] = {"sampler": one.first.sampler, "ladder": one.first.ladder, "epochs": point.epochs}
            for what, spread in (("volume", point.volume), ("above", point.above)):
                low, high = spread.interval or (None, None)
                line |= {what: spread.mean, f"{what}_low": low, f"{what}_high": high}
            table.append(line)
    return pd.DataFrame(table).round(5)


def draw_rehearsal(found: Sequence[Compared], path: Path, epochs: int) -> None:
    """Plot hypervolume against training compute; if there are both, full training is left and the ladder right."""
    kinds = sorted({one.first.ladder for one in found})
    figure, panels = plt.subplots(
        1, len(kinds), figsize=(1 + 5.5 * len(kinds), 5), layout="constrained", sharey=True, squeeze=False
    )
    colours = dict(zip(dict.fromkeys(one.first.sampler for one in found), _COLOURS * 9, strict=False))
    for axes, ladder in zip(panels[0], kinds, strict=True):
        for one in found:
            if one.first.ladder == ladder:
                _curve(axes, one, colours[one.first.sampler], epochs)
        axes.set_title("on the ladder" if ladder else "every candidate trained to the end", fontsize=10)
        axes.set_xlabel(f"training compute (whole trainings of {epochs} epochs)")
        axes.grid(alpha=0.25)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
    panels[0][0].set_ylabel("share of the band's hypervolume, AP above the median\n(mean, 95 % interval over seeds)")
    panels[0][-1].legend(fontsize=8, loc="lower right", frameon=False)
    save_figure(figure, path, dpi=130)
    plt.close(figure)


def _curve(axes: Axes, one: Compared, colour: str, epochs: int) -> None:
    points = curve(one.runs)
    x = [point.epochs / epochs for point in points]
    label = f"{one.first.sampler} ({len(one.runs)} x {one.first.trials})"
    axes.plot(x, [point.above.mean for point in points], color=colour, linewidth=1.5, label=label)
    ends = [point.above.interval for point in points]
    if all(ends):
        low, high = zip(*(end for end in ends if end), strict=True)
        axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0)


def _page(found: Sequence[Compared], facts: Sequence[str]) -> str:
    table = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    table += ["| " + " | ".join(line) + " |" for line in lines(found)]
    return "\n".join(
        [
            "# Rehearsal",
            "",
            *(f"- {fact}" for fact in facts),
            "",
            *table,
            "",
            LEGEND,
            "",
            f"![hypervolume against training compute]({PICTURE})",
            "",
        ]
    )


LEGEND = (
    "Means over seeds ± half of the 95 % interval (Student's t). `epochs`: trained, of training every candidate to the end. "
    "`hypervolume`: of the true values of what the search would return, chosen by noisy AP among those that came to their "
    "end, as a share of the whole band's; AP from 0, costs by logarithm from a tenth of their range behind the dearest. "
    "`above the median`: the same with AP from the median of the band, the stricter measure. `of full training's`: the "
    "same by that of training every candidate, same sampler and seed; `full training then`: the hypervolume that this had "
    "after as many epochs as the ladder took in all. `minus random's`: of the stricter "
    "number, same seed, alike with or without ladder; with fewer candidates, after as many epochs."
)
