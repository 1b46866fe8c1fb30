"""The sections of the page on full trainings: winners and baselines, and how short trainings ordered them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scalesearch.cost.budget import human
from scalesearch.evidence.noise import Group, Spread
from scalesearch.evidence.rank_bootstrap import FEW, correlation, resamples
from scalesearch.evidence.ranks import kendall, places
from scalesearch.inputs.quoting import shortened
from scalesearch.io.text import LONGEST, for_markdown
from scalesearch.records.row import Row
from scalesearch.report.facts import Audit, Facts
from scalesearch.report.markdown import design_cell, mean_cell, point_cell, table


def full_trainings(facts: Facts) -> str:
    """Return the section of winners and baselines, a table for each recipe; empty without any."""
    groups = [*facts.winners, *facts.baselines]
    if not groups:
        return ""
    by_recipe: dict[str, list[Group]] = {}
    for group in groups:
        by_recipe.setdefault(group.first.recipe_id, []).append(group)
    parts = [_by_one_recipe(own, titled=len(by_recipe) > 1) for own in by_recipe.values()]
    return "\n\n".join(["## Fully trained", *parts])


def _by_one_recipe(groups: Sequence[Group], *, titled: bool) -> str:
    first = groups[0].first
    head = [
        "design",
        "FLOPs",
        "parameters",
        "input",
        "seeds",
        "AP",
        "95 % of the mean",
        "AP50",
        "AP75",
        "small",
        "medium",
        "large",
    ]
    lines = [_group_line(group) for group in groups]
    text = (
        f"Trained on {for_markdown(first.splits['train'])}, {_length(first, first.epochs_planned)}; "
        f"every number here is on **{for_markdown(first.splits['evaluated'])}**; mean ± standard deviation over seeds."
    )
    title = [f"### By {_recipe(groups)}"] if titled else []
    return "\n\n".join(part for part in [*title, text, table(head, lines), _per_class(groups)] if part)


def _length(row: Row, epochs: int) -> str:
    """Return the length of a training as `75 epochs, 1,500 steps`; rows from before have no steps."""
    return f"{epochs} epochs" + (f", {row.steps:,} steps" if row.steps and row.epochs_done == epochs else "")


def _recipe(groups: Sequence[Group]) -> str:
    named = [group.first.name for group in groups if group.first.kind == "winner" and group.first.name]
    return f"the recipe {for_markdown(named[0])}" if named else "the plan's recipe"


def proxy_audit(facts: Facts) -> str:
    """Return the section that compares short with full trainings; empty where fewer than two can be compared."""
    parts = [_one_audit(audit, titled=len(facts.audits) > 1) for audit in facts.audits if len(audit.full) > 1]
    if not parts:
        return ""
    text = "The order of these candidates after the search's short trainings and after full ones; rank 1 is the best of them."
    return "\n\n".join(["## Proxy against full training", text, *parts])


def _one_audit(audit: Audit, *, titled: bool) -> str:
    short = [row.final["ap"] or 0.0 for row in audit.proxies]
    full = [spread.mean for group in audit.full if (spread := group.spread())]
    lines = [
        [design_cell(group.first), f"{ap:.3f}", str(place), str(group.spread()), str(rank)]
        for group, ap, place, rank in zip(audit.full, short, places(short), places(full), strict=True)
    ]
    row, first = audit.proxies[0], audit.full[0].first
    head = [
        *("design", f"AP on {for_markdown(row.splits['evaluated'])} ({_length(row, row.epochs_done)})", "rank"),
        *(f"AP on {for_markdown(first.splits['evaluated'])} ({_length(first, first.epochs_planned)})", "rank"),
    ]
    title = [f"### By {_recipe(audit.full)}"] if titled else []
    return "\n\n".join([*title, table(head, lines), _correlation(short, full)])


def _correlation(short: Sequence[float], full: Sequence[float]) -> str:
    if len(short) < FEW:
        return f"{len(short)} candidates are too few for a rank correlation."
    ranks = kendall(short, full)
    if ranks.tau is None:
        return "All are equal in one of the two, so there is no order to compare."
    counts = resamples(len(short), np.random.default_rng(0))
    found = correlation(np.array(short, float), np.array(full, float), counts)
    interval = f" (95 % {found.kendall.low:.2f} .. {found.kendall.high:.2f})" if found else ""
    return (
        f"Kendall's tau-b **{ranks.tau:.2f}**{interval} over {len(short)} candidates: {ranks.alike} of {ranks.pairs} pairs are "
        "in the same order. These are the best of the search, whose order is harder to predict than that of all candidates."
    )


def _group_line(group: Group) -> list[str]:
    row, ap = group.first, group.spread()
    name = design_cell(row)
    return [
        f"{name} ({point_cell(row.point)})" if row.point else name,
        human(row.cost["macs"]),
        human(row.cost["params"]),
        "x".join(str(side) for side in row.spec.size),
        str(len(group.rows)),
        str(ap) if ap else "no AP",
        f"{ap.interval[0]:.3f} .. {ap.interval[1]:.3f}" if ap and ap.interval else "",
        *(mean_cell(group.spread(number)) for number in ("ap50", "ap75", "ap_small", "ap_medium", "ap_large")),
    ]


def _per_class(groups: Sequence[Group]) -> str:
    names = list(groups[0].first.per_class)
    if len(names) < 2:
        return ""
    lines = []
    for group in groups:
        cells = [design_cell(group.first)]
        for name in names:
            values = tuple(ap for row in group.rows if (ap := row.per_class.get(name)) is not None)
            cells.append(mean_cell(Spread(values) if values else None))
        lines.append(cells)
    return "AP by class, mean over seeds:\n\n" + table(
        ["design", *(for_markdown(shortened(name, LONGEST)) for name in names)], lines
    )
