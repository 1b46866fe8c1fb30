"""report.md: the page of a study, as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scalesearch.cost.budget import human
from scalesearch.evidence.noise import Spread, not_distinguished
from scalesearch.io.text import for_markdown
from scalesearch.plan.ladder import epochs_at
from scalesearch.records.front import Estimate
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial
from scalesearch.report.facts import Facts
from scalesearch.report.full_trainings import full_trainings, proxy_audit
from scalesearch.report.markdown import design_cell, point_cell, table
from scalesearch.report.start import start_text

CONVENTION = (
    "FLOPs are multiply-adds of convolutions (1 multiply-add = 1; bias, norm, activation, pooling, resizing "
    "and fusion do not count), for one image at the input size given. Parameters are trainable ones. AP is COCO's, over "
    "IoU 0.50:0.95, 100 detections an image."
)


def page(facts: Facts, picture: str) -> str:
    """Return the whole page as Markdown; `picture` is the file name of the front's plot."""
    parts = [
        f"# {facts.plan.name}",
        _summary(facts),
        start_text(facts),
        f"![accuracy against cost]({picture})",
        CONVENTION,
        full_trainings(facts),
        proxy_audit(facts),
        noise_section(facts),
        front_section(facts),
        random_section(facts),
        failed_section(facts.failed),
        made_section(facts),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _summary(facts: Facts) -> str:
    return "\n\n".join(part for part in (f"{searched_text(facts)}{best_text(facts)}", biased_text(facts)) if part)


def searched_text(facts: Facts) -> str:
    """Say how many candidates were trained, of how many costs, inside which band, and what the ladder saved."""
    if not facts.trials:
        return f"No candidate has been trained yet; all will be inside {_bands(facts)}."
    done = [trial for trial in facts.trials if trial.complete]
    failed = sum(trial.failed for trial in facts.trials)
    costs = {tuple(row.cost["macs"] for row in trial.rows) for trial in facts.trials}
    return (
        f"{len(facts.trials)} candidates ({len(done)} complete{f', {failed} failed' if failed else ''}) of {len(costs)} "
        f"different costs, all inside {_bands(facts)}.{_latency(facts)}{_climbed(facts)}"
    )


def best_text(facts: Facts) -> str:
    """Say what the best fully trained detector reached, and what cannot be told apart from it; '' where there is none."""
    if not facts.trials or not facts.winners or not (spread := facts.winners[0].spread()):
        return ""
    best = facts.winners[0].first
    return (
        f" Best: **AP {spread}** on {for_markdown(best.splits['evaluated'])} at {human(best.cost['macs'])} FLOPs, "
        f"{human(best.cost['params'])} parameters ({len(spread.values)} seeds).{_ties(facts)}"
    )


def biased_text(facts: Facts) -> str:
    """Warn where selection and reporting used the same images; '' elsewhere."""
    if not facts.trials or facts.plan.data.select != "val":
        return ""
    return (
        "**Selection and reporting used the same images** (`select: val`), so the AP of the selected candidates "
        "is biased upwards; select on a split cut from train to avoid that."
    )


def _ties(facts: Facts) -> str:
    """Name the fully trained detectors whose AP does not differ significantly from the best one's."""
    best, found = facts.winners[0], [*facts.winners[1:], *facts.baselines]
    alike = (best.first.recipe_id, best.first.member)
    others = [group for group in found if (group.first.recipe_id, group.first.member) == alike and group.spread()]
    if not others:
        return ""
    near = not_distinguished(best, others)
    if near is None:
        return " With one seed each it **cannot be told apart** from the other fully trained detectors."
    if near:
        more = f" and {len(near) - 3} others" if len(near) > 3 else ""
        names = ", ".join(f"{design_cell(group.first)} (AP {group.spread()})" for group in near[:3])
        return f" It does **not differ significantly** from {names}{more} (95 %, Student's t over seeds)."
    rest = "The other fully trained detector"
    if len(others) > 1:
        rest = f"Each of the {len(others)} other fully trained detectors"
    return f" {rest} differs from it significantly (95 %, Student's t over seeds)."


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
        text += f" {outside} of the candidates were measured outside the band before training, and not trained."
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
    return f" On the ladder {climbed}. That took {spent:.0%} of the epochs of training all of them to the end."


def noise_section(facts: Facts) -> str:
    """Return the section on the noise: the spread over seeds beside that over candidates; empty without seeds."""
    if facts.seeds is None or facts.candidates is None:
        return ""
    over = facts.candidates
    text = (
        f"The standard deviation of AP is **{facts.seeds:.3f}** over the seeds of one detector (fully trained, pooled), and "
        f"**{over.sd or 0:.3f}** over the {len(over.values)} candidates of the search (range {over.range:.3f}). A difference "
        f"between two single runs is significant from about {2.8 * facts.seeds:.3f} AP on (2.8 standard deviations)."
    )
    return "## Noise\n\n" + text


def front_section(facts: Facts) -> str:
    """Return the section with the table of the front; empty without a complete candidate."""
    if not facts.front:
        return ""
    splits = facts.front[0].rows[0].splits
    objectives = ", ".join(facts.plan.objectives)
    text = (
        f"The candidates that no other dominates in the objectives ({objectives}); {_seeds(facts)}, on "
        f"**{for_markdown(splits['evaluated'])}**, trained on {for_markdown(splits['train'])}.{_flattery(facts)}"
        f"{_unsure(facts)}"
    )
    known, near = facts.estimates, facts.not_told_apart
    more = [name for name in facts.costs if name not in ("macs", "params")]
    head = ["trial", "proposed by", "point", "FLOPs", "parameters", *more, "AP", "AP50"]
    head += ["seeds", "estimated AP"] if known else []
    head += ["not told apart from"] if near is not None else []
    lines = [
        _trial_line(trial, more)
        + _estimate(known.get(trial.ordinal))
        + ([_near(near[trial.ordinal])] if near is not None else [])
        for trial in facts.front
    ]
    drawn = facts.front[0].rows[0]
    note = (
        f"`scalesearch draw` draws the free graph of a trial from its row, for example `rows/{drawn.file_name}`."
        if facts.plan.genes
        else ""
    )
    return "\n\n".join(part for part in ["## Front of the search", text, table(head, lines), note] if part)


def _unsure(facts: Facts) -> str:
    """State which candidates of the front the noise tells from those that cost no more."""
    near, noise = facts.not_told_apart, facts.search_noise
    if near is None or noise is None:
        return " No seed is repeated, so it is unknown which of them are told apart from others."
    unsure = sum(bool(others) for others in near.values())
    low, high = noise.interval
    where = "its repeats" if any(trial.repeats for trial in facts.trials) else "the full trainings"
    return (
        f" Of these {len(near)}, **{unsure} cannot be told apart** from a candidate that costs no more (95 %, Student's t; the "
        f"standard deviation of one run, from {where}, is {noise.sd:.3f}, 95 % {low:.3f} .. {high:.3f})."
    )


def _near(others: Sequence[Trial]) -> str:
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"trial {others[0].ordinal}{more}" if others else ""


def _seeds(facts: Facts) -> str:
    again = sum(len(trial.repeats) for trial in facts.trials)
    if not again:
        return "one seed each"
    return f"AP with the search's seed, and the mean over seeds estimated with {again} repeats, which decides"


def _flattery(facts: Facts) -> str:
    """State how much the best single run overstates its candidate."""
    if (found := facts.flattery) is None:
        return ""
    seeds = f"{found.estimate.runs} seeds" if found.estimate.runs > 1 else "one seed and the spread of the others"
    return (
        f" The best single run, trial {found.trial.ordinal}, had AP {found.ap:.3f}; from {seeds} its mean is estimated as "
        f"{found.estimate.mean:.3f} ± {math.sqrt(found.estimate.variance):.3f}, so the run is "
        f"{found.ap - found.estimate.mean:.3f} above its mean."
    )


def _estimate(one: Estimate | None) -> list[str]:
    return [str(one.runs), f"{one.mean:.3f} ± {math.sqrt(one.variance):.3f}"] if one else []


def _trial_line(trial: Trial, more: Sequence[str]) -> list[str]:
    ap50 = [value for row in trial.rows if (value := row.final.get("ap50")) is not None]
    return [
        str(trial.ordinal),
        for_markdown(trial.proposed_by),
        point_cell(trial.point),
        *(" \\| ".join(human(row.cost[name], name) for row in trial.rows) for name in ("macs", "params", *more)),
        " \\| ".join(f"{row.final['ap']:.3f}" for row in trial.rows)
        + (f" (mean {trial.value('ap'):.3f})" if len(trial.rows) > 1 else ""),
        f"{sum(ap50) / len(ap50):.3f}" if ap50 else "",
    ]


def random_section(facts: Facts) -> str:
    """Return the section that sets the sampler beside random draws; empty without random draws."""

    def line(name: str, trials: list[Trial]) -> list[str]:
        spread = Spread(tuple(trial.value("ap") for trial in trials))
        return [name, str(len(trials)), f"{spread.mean:.3f}", f"{max(spread.values):.3f}"]

    groups = [("random inside the band", facts.random), ("the sampler", facts.asked)]
    lines = [line(name, trials) for name, trials in groups if trials]
    if not facts.random:
        return ""  # a grid that tries everything has no random reference
    text = "A search has to beat random draws from the same band (one seed each, selection split)."
    return "\n\n".join(["## Against random", text, table(["proposed by", "candidates", "mean AP", "best AP"], lines)])


def failed_section(rows: Sequence[Row]) -> str:
    """Return the section with the table of failed trainings; empty without any."""
    if not rows:
        return ""
    lines = [[row.kind, _which(row), point_cell(row.point), for_markdown(" ".join(row.reason.split()))] for row in rows]
    return "\n\n".join(["## Failed", table(["kind", "which", "point", "reason"], lines)])


def _which(row: Row) -> str:
    """Name the training of a row: trial, trial and seed (winner), name and seed (baseline); in a family the member."""
    parts = [for_markdown(row.name) if row.kind == "baseline" else f"trial {row.ordinal}"]
    parts += [] if row.member is None else [f"member {row.member}"]
    parts += [] if row.kind == "search" else [f"seed {row.seed}"]
    return ", ".join(parts)


def made_section(facts: Facts) -> str:
    """Return the section on command, machine, versions and data; empty without rows."""
    rows = [row for trial in facts.trials for row in trial.rows]
    rows += [row for group in [*facts.winners, *facts.baselines] for row in group.rows]
    if not rows:
        return ""
    row, hours = rows[0], sum(r.seconds for r in rows) / 3600
    machine = for_markdown(", ".join(f"{name} {value}" for name, value in row.machine.items()))
    versions = for_markdown(", ".join(f"{name} {value}" for name, value in row.versions.items()))
    return (
        "## How it was made\n\n"
        f"`scalesearch search {facts.plan.name}.yaml`; `plan.yaml` is the plan as resolved, `results.jsonl` has every number, "
        f"and `scalesearch report` writes this page from them again.\n\n"
        f"{len(rows)} trainings, {hours:.2f} hours of training; {machine}, {row.threads} threads; {versions}; "
        f"data {row.data}."
    )
