"""Run rehearsals of a plan on a landscape or on a recorded study, and write their comparison."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import optuna

from scalesearch.app.search_study import unit_of
from scalesearch.arch.spec import Anchors, DetectorSpec
from scalesearch.io.hashes import short_hash
from scalesearch.io.progress import bar
from scalesearch.io.publish import publish
from scalesearch.io.text import as_code
from scalesearch.plan.ladder import epochs_at
from scalesearch.plan.plan import Plan, read_plan
from scalesearch.plan.sections import SAMPLERS
from scalesearch.profile.resolve import resolve_spec
from scalesearch.records.folder import PLAN, RESULTS, read_rows
from scalesearch.records.pareto import UP
from scalesearch.rehearsal.comparison import Compared, compare_runs
from scalesearch.rehearsal.comparison_page import write_rehearsal
from scalesearch.rehearsal.landscape import LANDSCAPES, Landscape, facts
from scalesearch.rehearsal.result import RUNS, Rehearsed, read_runs
from scalesearch.rehearsal.simulation import Surrogate, Yardstick, check_rungs, rehearse
from scalesearch.rehearsal.table import RecordedTable
from scalesearch.space.band import Band
from scalesearch.space.enumerated import EnumeratedBand
from scalesearch.space.find_band import find_band
from scalesearch.space.finite import band_of

CLASSES = 10
"""Object classes of detectors on a landscape; they only change costs a little."""
_PAIRS = 2_000
"""Candidates that a landscape's facts are computed over."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The plan, band and surrogate of rehearsals."""

    plan: Plan
    band: Band
    surrogate: Surrogate
    setup: str
    """Hash of the problem; only rehearsals of one setup are comparable."""
    facts: tuple[str, ...]
    command: str
    """The command line that gives this scenario."""


def on_landscape(path: Path, overrides: Sequence[str], name: str) -> Scenario:
    """Return the plan's band on the landscape `name`; the data set is not opened."""
    if name not in LANDSCAPES:
        raise ValueError(f"a landscape is one of {', '.join(LANDSCAPES)}, but got {name!r}")
    plan = read_plan(path, overrides)
    unit = unit_of(plan, CLASSES, plan.anchors if isinstance(plan.anchors, Anchors) else Anchors())
    band = find_band(unit)
    middle = [bound.middle for budget in plan.bands for bound in [budget.macs] if bound]
    if not middle:
        raise ValueError(
            f"{path}: a landscape is relative to the multiply-adds of the band, but the band does not bound them; add macs"
        )
    surrogate = Landscape(macs=sum(middle) / len(middle), epochs=plan.recipe.epochs, **LANDSCAPES[name])
    setup = setup_of(plan, name, repr(surrogate))
    facts = (f"plan {plan.name}, landscape {name}", f"band: {band.summary}", *_facts(plan, band, surrogate))
    command = command_of(path, overrides) + (f" --landscape {name}" if name != "plain" else "")
    return Scenario(plan=plan, band=band, surrogate=surrogate, setup=setup, facts=facts, command=command)


def is_recorded_table(path: Path) -> bool:
    """Whether this is a study's folder or its results.jsonl."""
    return path.is_dir() or path.name == RESULTS


def ladders(plan: Plan, asked: bool | None) -> tuple[bool, ...]:
    """Return whether to search without the ladder, with it, or both: as asked, else both where the plan has one.

    Raises ValueError where a ladder is asked for and the plan has none, or has one that cannot be rehearsed.
    """
    if asked and plan.ladder is None:
        raise ValueError(
            f"the plan {plan.name} has no ladder to rehearse; add one, as with --set 'ladder={{rungs: [0.1, 0.3]}}'"
        )
    found = (asked,) if asked is not None else (False, True) if plan.ladder else (False,)
    check_rungs(plan.ladder if True in found else None)
    return found


def on_table(path: Path, overrides: Sequence[str], ladder: bool | None) -> Scenario:
    """Return the study in folder `path` (or its results.jsonl) as a table; at most half its candidates are searched.

    Raises ValueError where an objective was not recorded, or (unless `ladder` is False) no AP of the lowest rung.
    """
    folder = path.parent if path.name == RESULTS else path
    plan = read_plan(folder / PLAN, overrides)
    table = RecordedTable(read_rows(folder), plan.recipe.id, len(plan.bands), resolve_spec)
    plan = dataclasses.replace(plan, trials=min(plan.trials, max(1, len(table.candidates) // 2)))
    metrics = [cost for candidate in table.candidates for cost in candidate.costs]
    if missing := [name for name in plan.objectives if name not in UP and any(name not in cost for cost in metrics)]:
        raise ValueError(
            f"{folder}: an objective must be recorded for all candidates of a table, but {missing[0]} is not; "
            f"leave it out, as with --set 'objectives=[ap, macs]'"
        )
    lowest = epochs_at(None if ladder is False else plan.ladder, plan.recipe.epochs)[0]
    if lowest < table.first_epoch:
        raise ValueError(
            f"{folder}: the AP at the lowest rung must be recorded for all candidates, but the rung is after {lowest} epochs "
            f"and the first AP of all after {table.first_epoch}; rehearse with --no-ladder, or record with recipe.eval_every"
        )
    facts = (f"table {plan.name}: {len(table.candidates)} candidates recorded",)
    return Scenario(
        plan=plan,
        band=band_of(table.candidates),
        surrogate=table,
        setup=setup_of(plan, table.fingerprint),
        facts=facts,
        command=command_of(folder, overrides),
    )


def run_rehearsals(
    stage: Scenario,
    *,
    samplers: Sequence[str],
    seeds: int,
    ladders: Sequence[bool],
    out: Path | None,
) -> list[Compared]:
    """Run the rehearsals that `out` lacks, append each to RUNS when done, and write the page and plot of all."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    samplers = tuple(dict.fromkeys(samplers))
    if "grid" in samplers:
        stage.band.grid(())  # Raises now if the space is too large for it.
    kept = _kept(out, stage.setup)
    numbers = range(stage.plan.seed, stage.plan.seed + seeds)
    wanted = [(sampler, ladder, seed) for sampler in samplers for ladder in ladders for seed in numbers]
    have = {(run.sampler, run.ladder, run.seed, run.trials) for run in kept}
    yardstick = Yardstick(stage.band, stage.surrogate, stage.plan.objectives)
    update = bar("rehearsing")
    for done, (sampler, ladder, seed) in enumerate(wanted):
        update(done, len(wanted), f"{sampler}, seed {seed}")
        if (sampler, ladder, seed, stage.plan.trials) in have:
            continue
        kept.append(
            rehearse(_asked(stage.plan, sampler, ladder, seed), stage.band, stage.surrogate, yardstick, stage.setup)
        )
        if out:
            with open(out / RUNS, "a", encoding="utf-8") as file:
                file.write(kept[-1].to_json() + "\n")
                file.flush()
                os.fsync(file.fileno())
    kept.sort(key=lambda run: (SAMPLERS.index(run.sampler), run.trials, run.ladder, run.seed))
    found = compare_runs(kept)
    if out:
        write_rehearsal(out, found, (*_commands(stage, found), *stage.facts), stage.plan.recipe.epochs)
    return found


def command_of(path: Path, overrides: Sequence[str]) -> str:
    """Return the command line that rehearses on `path`."""
    # An absolute path describes the machine, not the rehearsal.
    options = " ".join(f"--set {shlex.quote(text)}" for text in overrides if not text.startswith("trials="))
    return f"scalesearch rehearse {path.name if path.is_absolute() else path} {options}".strip()


def _commands(stage: Scenario, found: Sequence[Compared]) -> list[str]:
    """Return the commands that reproduce these lines, one for each number of seeds and trials, without -o."""
    names: dict[tuple[int, int], list[str]] = {}
    for one in found:
        names.setdefault((len(one.runs), one.first.trials), []).append(one.first.sampler)
    return [
        as_code(f"{stage.command} --samplers {','.join(dict.fromkeys(samplers))} --seeds {seeds} --trials {trials}")
        for (seeds, trials), samplers in names.items()
    ]


def _asked(plan: Plan, sampler: str, ladder: bool, seed: int) -> Plan:
    return dataclasses.replace(
        plan,
        sampler=dataclasses.replace(plan.sampler, name=sampler),
        ladder=plan.ladder if ladder else None,
        seed=seed,
    )


def _kept(out: Path | None, setup: str) -> list[Rehearsed]:
    """Return the rehearsals of this setup in the folder. Raises ValueError where it has those of another."""
    if out is None:
        return []
    file = out / RUNS
    kept, torn = read_runs(file) if file.exists() else ([], False)
    if torn:  # by an interruption: that one is run again
        publish(file, "".join(run.to_json() + "\n" for run in kept))
    out.mkdir(parents=True, exist_ok=True)
    if any(run.setup != setup for run in kept):
        raise ValueError(f"{out}: its rehearsals are of another plan, table or landscape; name another folder with -o")
    return kept


def _facts(plan: Plan, band: Band, surrogate: Landscape) -> list[str]:
    if not isinstance(band, EnumeratedBand):
        return []
    step = max(1, len(band.candidates) // _PAIRS)
    specs = [spec for candidate in band.candidates[::step] for spec in candidate.members]
    first = epochs_at(plan.ladder, plan.recipe.epochs)[0]
    hard = facts(surrogate, specs, first)
    lines = [
        f"true AP spreads by {hard.spread:.3f} (standard deviation), seeds by {hard.noise:.3f}",
        f"slowness goes with cost by a rank correlation of {hard.slowness_by_cost:.2f}",
    ]
    if plan.ladder:
        lines.append(
            f"pairs whose order after {first} epochs is not that at the end, without noise: {hard.crossing:.0%}"
        )
    return lines


_LATER = {"normalisation": DetectorSpec.normalisation}
"""Fields that detectors have got since: with their defaults, a setup is the one that it was without them."""
_COMPARED = ("unit", "band", "family", "space", "graphs", "detector", "anchors", "objectives", "ladder")


def _compared(plan: Plan) -> dict[str, object]:
    """Return the parts of the plan that decide which candidates are proposed and how far they are trained.

    Rehearsals of one setup have these in common.
    """
    data = plan.resolved()
    settings = {name: value for name, value in data["sampler"].items() if name != "name"}
    detector = {name: value for name, value in data["detector"].items() if (name, value) not in _LATER.items()}
    parts = {"sampler": settings, "detector": detector, "epochs": plan.recipe.epochs}
    return {name: data.get(name) for name in _COMPARED} | parts


def setup_of(plan: Plan, *surrogate: object) -> str:
    """Return the hash of a problem: of the plan's part of it, and of what tells its surrogate and band from others."""
    return short_hash(json.dumps([_compared(plan), *surrogate], sort_keys=True))
