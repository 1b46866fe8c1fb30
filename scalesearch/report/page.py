"""report.md: the page of a study, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scalesearch.cost.budget import human
from scalesearch.evidence.noise import Group, Spread, not_distinguished
from scalesearch.evidence.ranks import kendall, places
from scalesearch.inputs.quoting import shortened
from scalesearch.io.text import LONGEST, for_markdown
from scalesearch.plan.ladder import epochs_at
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial
from scalesearch.report.facts import Audit, Facts
from scalesearch.space.space import shown

_CONVENTION = (
    "FLOPs are multiply-adds of convolutions (1 multiply-add = 1; bias, norm, activation, pooling, resizing "
    "and fusion do not count), for one image at the input size given. Parameters are trainable ones. AP is COCO's, over "
    "IoU 0.50:0.95, 100 detections an image."
)


def page(facts: Facts, picture: str) -> str:
    """Return the whole page as Markdown; `picture` is the file name of the front's plot."""
    parts = [
        f"# {facts.plan.name}",
        _summary(facts),
        f"![accuracy against cost]({picture})",
        _CONVENTION,
        _winners(facts),
        _audit(facts),
        _noise(facts),
        _front(facts),
        _random(facts),
        _failed(facts.failed),
        _made(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(facts: Facts) -> str:
    if not facts.trials:
        return f"No candidate has been trained yet; all will be inside {_bands(facts)}."
    done = [trial for trial in facts.trials if trial.complete]
    failed = sum(trial.failed for trial in facts.trials)
    costs = {tuple(row.cost["macs"] for row in trial.rows) for trial in facts.trials}
    text = (
        f"{len(facts.trials)} candidates ({len(done)} complete{f', {failed} failed' if failed else ''}) of {len(costs)} "
        f"different costs, all inside {_bands(facts)}.{_latency(facts)}{_climbed(facts)}"
    )
    if facts.winners and (spread := facts.winners[0].spread()):
        best = facts.winners[0].first
        text += (
            f" Best: **AP {spread}** on {for_markdown(best.splits['evaluated'])} at {human(best.cost['macs'])} FLOPs, "
            f"{human(best.cost['params'])} parameters ({len(spread.values)} seeds).{_ties(facts)}"
        )
    if facts.plan.data.select == "val":
        text += (
            "\n\n**Selection and reporting used the same images** (`select: val`): the numbers of the chosen are "
            "flattered; select on a split cut from train to report them."
        )
    return text


def _ties(facts: Facts) -> str:
    """Name the fully trained detectors whose AP does not differ significantly from the best one's."""
    best, found = facts.winners[0], [*facts.winners[1:], *facts.baselines]
    alike = (best.first.recipe_id, best.first.member)
    others = [group for group in found if (group.first.recipe_id, group.first.member) == alike and group.spread()]
    if not others:
        return ""
    near = not_distinguished(best, others)
    if near is None:
        return " **One seed each does not tell it apart** from what else was fully trained."
    if near:
        more = f" and {len(near) - 3} others" if len(near) > 3 else ""
        names = ", ".join(f"{_design(group.first)} (AP {group.spread()})" for group in near[:3])
        return f" The seeds do **not tell it apart** from {names}{more} (95 %, Student's t)."
    rest = "The other" if len(others) == 1 else f"Each of the {len(others)} others"
    return f" {rest} that was fully trained is apart from it by more than the noise of seeds (95 %, Student's t)."


def _bands(facts: Facts) -> str:
    return " | ".join(str(band) for band in facts.plan.bands)


def _latency(facts: Facts) -> str:
    """State what latency is predicted from, and how many candidates measured outside the band."""
    if facts.plan.latency is None:
        return ""
    text = (
        f" Latency is {for_markdown(facts.plan.latency.timings)}."
        if facts.plan.latency.timings
        else " Latency is predicted."
    )
    if outside := sum(any(row.outside for row in trial.rows) for trial in facts.trials):
        text += f" {outside} of the candidates measured outside the band before training, and were not trained."
    return text


def _climbed(facts: Facts) -> str:
    """State how many candidates reached each rung, and the share of full training's epochs that were trained."""
    plan = facts.plan
    if plan.ladder is None or not facts.trials:
        return ""
    rungs = epochs_at(plan.ladder, plan.recipe.epochs)
    reached = [sum(trial.epochs_done >= epochs for trial in facts.trials) for epochs in rungs]
    climbed = ", ".join(f"{count} reached epoch {epochs}" for count, epochs in zip(reached, rungs, strict=True))
    spent = sum(trial.epochs_done for trial in facts.trials) / (len(facts.trials) * rungs[-1])
    return f" On the ladder {climbed}: {spent:.0%} of the epochs that training all of them to the end takes."


def _winners(facts: Facts) -> str:
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
        f"Trained on {for_markdown(first.splits['train'])}, {first.epochs_planned} epochs; "
        f"every number here is on **{for_markdown(first.splits['evaluated'])}**; mean ± standard deviation over seeds."
    )
    title = [f"### By {_recipe(groups)}"] if titled else []
    return "\n\n".join(part for part in [*title, text, _table(head, lines), _per_class(groups)] if part)


def _recipe(groups: Sequence[Group]) -> str:
    named = [group.first.name for group in groups if group.first.kind == "winner" and group.first.name]
    return f"the recipe {for_markdown(named[0])}" if named else "the plan's recipe"


def _design(row: Row) -> str:
    return for_markdown(row.name) if row.kind == "baseline" else f"`{row.spec_id}`"


FEW = 5
"""Fewest candidates for a rank correlation: of 4, 1 in 24 orders agrees by chance."""


def _audit(facts: Facts) -> str:
    parts = [_one_audit(audit, titled=len(facts.audits) > 1) for audit in facts.audits if len(audit.full) > 1]
    if not parts:
        return ""
    text = "Whether the search's short trainings order candidates as full ones do; rank 1 is the best of those here."
    return "\n\n".join(["## Proxy against full training", text, *parts])


def _one_audit(audit: Audit, *, titled: bool) -> str:
    short = [row.final["ap"] or 0.0 for row in audit.proxies]
    full = [spread.mean for group in audit.full if (spread := group.spread())]
    lines = [
        [_design(group.first), f"{ap:.3f}", str(place), str(group.spread()), str(rank)]
        for group, ap, place, rank in zip(audit.full, short, places(short), places(full), strict=True)
    ]
    row, first = audit.proxies[0], audit.full[0].first
    head = [
        *("design", f"AP on {for_markdown(row.splits['evaluated'])} ({row.epochs_done} epochs)", "rank"),
        *(f"AP on {for_markdown(first.splits['evaluated'])} ({first.epochs_planned} epochs)", "rank"),
    ]
    title = [f"### By {_recipe(audit.full)}"] if titled else []
    return "\n\n".join([*title, _table(head, lines), _correlation(short, full)])


def _correlation(short: Sequence[float], full: Sequence[float]) -> str:
    if len(short) < FEW:
        return f"{len(short)} candidates are too few for a rank correlation."
    ranks = kendall(short, full)
    if ranks.tau is None:
        return "All are equal in one of the two: there is no order to compare."
    return (
        f"Kendall's tau-b **{ranks.tau:.2f}** over {len(short)} candidates: {ranks.alike} of {ranks.pairs} pairs are "
        "in the same order. They are the best of the search, which are harder to tell apart than all of it."
    )


def _group_line(group: Group) -> list[str]:
    row, ap = group.first, group.spread()
    name = _design(row)
    return [
        f"{name} ({_point(row.point)})" if row.point else name,
        human(row.cost["macs"]),
        human(row.cost["params"]),
        "x".join(str(side) for side in row.spec.size),
        str(len(group.rows)),
        str(ap) if ap else "no AP",
        f"{ap.interval[0]:.3f} .. {ap.interval[1]:.3f}" if ap and ap.interval else "",
        *(_mean(group.spread(number)) for number in ("ap50", "ap75", "ap_small", "ap_medium", "ap_large")),
    ]


def _per_class(groups: Sequence[Group]) -> str:
    names = list(groups[0].first.per_class)
    if len(names) < 2:
        return ""
    lines = []
    for group in groups:
        cells = [_design(group.first)]
        for name in names:
            values = tuple(ap for row in group.rows if (ap := row.per_class.get(name)) is not None)
            cells.append(_mean(Spread(values) if values else None))
        lines.append(cells)
    return "AP by class, mean over seeds:\n\n" + _table(
        ["design", *(for_markdown(shortened(name, LONGEST)) for name in names)], lines
    )


def _noise(facts: Facts) -> str:
    if facts.seeds is None or facts.candidates is None:
        return ""
    over = facts.candidates
    text = (
        f"Over seeds, the same detector's AP has a standard deviation of **{facts.seeds:.3f}** (fully trained, pooled); "
        f"over the {len(over.values)} candidates of the search it is **{over.sd or 0:.3f}**, range {over.range:.3f}. "
        f"Two single runs differ for sure only from about {2.8 * facts.seeds:.3f} AP (2.8 standard deviations)."
    )
    return "## Noise\n\n" + text


def _front(facts: Facts) -> str:
    if not facts.front:
        return ""
    splits = facts.front[0].rows[0].splits
    objectives = ", ".join(facts.plan.objectives)
    text = (
        f"The candidates that none beats in every objective ({objectives}); one seed each, on **{for_markdown(splits['evaluated'])}**, "
        f"trained on {for_markdown(splits['train'])}."
    )
    more = [name for name in facts.costs if name not in ("macs", "params")]
    head = ["trial", "proposed by", "point", "FLOPs", "parameters", *more, "AP", "AP50"]
    lines = [_trial_line(trial, more) for trial in facts.front]
    drawn = facts.front[0].rows[0]
    note = (
        f"A free graph is drawn by `scalesearch draw`, given its trial's row, for example `rows/{drawn.file_name}`."
        if facts.plan.genes
        else ""
    )
    return "\n\n".join(part for part in ["## Front of the search", text, _table(head, lines), note] if part)


def _trial_line(trial: Trial, more: Sequence[str]) -> list[str]:
    ap50 = [value for row in trial.rows if (value := row.final.get("ap50")) is not None]
    return [
        str(trial.ordinal),
        for_markdown(trial.proposed_by),
        _point(trial.point),
        *(" \\| ".join(human(row.cost[name], name) for row in trial.rows) for name in ("macs", "params", *more)),
        " \\| ".join(f"{row.final['ap']:.3f}" for row in trial.rows)
        + (f" (mean {trial.value('ap'):.3f})" if len(trial.rows) > 1 else ""),
        f"{sum(ap50) / len(ap50):.3f}" if ap50 else "",
    ]


def _random(facts: Facts) -> str:
    def line(name: str, trials: list[Trial]) -> list[str]:
        spread = Spread(tuple(trial.value("ap") for trial in trials))
        return [name, str(len(trials)), f"{spread.mean:.3f}", f"{max(spread.values):.3f}"]

    groups = [("random inside the band", facts.random), ("the sampler", facts.asked)]
    lines = [line(name, trials) for name, trials in groups if trials]
    if not facts.random:
        return ""  # a grid that tries everything has no random reference
    text = "What a search has to beat is a random draw inside the same band (one seed each, selection split)."
    return "\n\n".join(["## Against random", text, _table(["proposed by", "candidates", "mean AP", "best AP"], lines)])


def _failed(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    lines = [[row.kind, _which(row), _point(row.point), for_markdown(" ".join(row.reason.split()))] for row in rows]
    return "\n\n".join(["## Failed", _table(["kind", "which", "point", "reason"], lines)])


def _which(row: Row) -> str:
    """Name the training of a row: trial, trial and seed (winner), name and seed (baseline); in a family the member."""
    parts = [for_markdown(row.name) if row.kind == "baseline" else f"trial {row.ordinal}"]
    parts += [] if row.member is None else [f"member {row.member}"]
    parts += [] if row.kind == "search" else [f"seed {row.seed}"]
    return ", ".join(parts)


def _made(facts: Facts) -> str:
    rows = [row for trial in facts.trials for row in trial.rows]
    rows += [row for group in [*facts.winners, *facts.baselines] for row in group.rows]
    if not rows:
        return ""
    row, hours = rows[0], sum(r.seconds for r in rows) / 3600
    machine = for_markdown(", ".join(f"{name} {value}" for name, value in row.machine.items()))
    versions = for_markdown(", ".join(f"{name} {value}" for name, value in row.versions.items()))
    return (
        "## How it was made\n\n"
        f"`scalesearch search {facts.plan.name}.yaml`; the plan as resolved is `plan.yaml`, every number is in "
        f"`results.jsonl`, and `scalesearch report` writes this page from them again.\n\n"
        f"{len(rows)} trainings, {hours:.2f} hours of training; {machine}, {row.threads} threads; {versions}; "
        f"data {row.data}."
    )


def _point(point: object) -> str:
    assert isinstance(point, dict)
    return for_markdown(shown(point))


def _mean(spread: Spread | None) -> str:
    return f"{spread.mean:.3f}" if spread else ""


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of Markdown cells; callers pass text from outside through `for_markdown`."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
