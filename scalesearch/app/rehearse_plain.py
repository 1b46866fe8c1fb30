"""The scenario of a rehearsal on a plain table, whose points are no detectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from scalesearch.app.rehearse import Scenario, command_of, setup_of
from scalesearch.plan import sections
from scalesearch.plan.ladder import epochs_at, read_ladder
from scalesearch.plan.plan import Plan
from scalesearch.plan.reader import read_section
from scalesearch.plan.recipe import Recipe
from scalesearch.plan.sections import OBJECTIVES, DataPlan, WinnersPlan
from scalesearch.records.pareto import UP
from scalesearch.rehearsal.limits import read_limit, within_limits
from scalesearch.rehearsal.plain_table import PlainTable
from scalesearch.rehearsal.table_file import SUFFIXES, read_table_file
from scalesearch.space.finite import band_of

TRIALS = 100
"""Candidates of each search, unless asked otherwise; at most half of the band."""


def is_plain(path: Path) -> bool:
    """Whether this is the file of a plain table."""
    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def on_plain_table(path: Path, band: Sequence[str], overrides: Sequence[str], ladder: bool | None) -> Scenario:
    """Return the points of the table in `path` that are inside `band`, as a scenario.

    `band` has texts such as `latency=20%..40%`. The overrides are of objectives, sampler, ladder, trials, repeats and seed.
    Raises ValueError for a table, a band or an override that cannot be rehearsed.
    """
    limits = [read_limit(text) for text in band]
    table = PlainTable(read_table_file(path))
    candidates, _ = within_limits(table.candidates, limits)
    found = band_of(candidates)
    plan = _plan(path, table, len(candidates), overrides)
    lowest = epochs_at(None if ladder is False else plan.ladder, table.epochs)[0]
    if lowest < table.first_epoch:
        raise ValueError(
            f"{path}: the lowest rung is after {lowest} epochs, but the earliest score that all points have is after "
            f"{table.first_epoch}; rehearse with --no-ladder, or record from earlier on"
        )
    facts = (
        f"table {path.name}: {len(table.candidates)} points with {', '.join(table.costs)}",
        f"band: {len(candidates)} of them" + (f", {' '.join(band)}" if band else ""),
    )
    return Scenario(
        plan=plan,
        band=found,
        surrogate=table,
        setup=setup_of(plan, table.fingerprint, list(band)),
        facts=facts,
        command=command_of(path, overrides) + "".join(f" --band {text}" for text in band),
    )


def _plan(path: Path, table: PlainTable, candidates: int, overrides: Sequence[str]) -> Plan:
    """Return the plan of a search among `candidates`; what a plan says of detectors stays at its defaults."""
    top = read_section(None, overrides)
    recipe = Recipe(epochs=table.epochs)
    objectives = ("ap", *[name for name in table.costs if name in OBJECTIVES][:1])
    if asked := top.get("objectives"):
        objectives = sections.read_objectives(asked)
        if missing := [name for name in objectives if name not in (*UP, *table.costs)]:
            raise asked.error(f"are ap and costs of the table ({', '.join(table.costs)}), but got {missing[0]}")
    plan = Plan(
        name=path.stem,
        data=DataPlan(),
        axes={},
        detector={},
        objectives=objectives,
        sampler=sections.read_sampler(top.section("sampler")),
        ladder=read_ladder(top.get("ladder"), table.epochs),
        trials=min(top.integer("trials", TRIALS, low=1, high=100_000), max(1, candidates // 2)),
        repeats=sections.read_repeats(top.get("repeats")),
        seed=sections.read_seed(top.get("seed")),
        recipe=recipe,
        winners=WinnersPlan(recipe=recipe),
    )
    top.done()
    return plan
