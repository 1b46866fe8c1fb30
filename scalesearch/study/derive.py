"""Proposals and repeats as functions of what they were told: the driver makes each by these, and a check makes it again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from scalesearch.plan.ladder import epochs_at
from scalesearch.plan.plan import Plan
from scalesearch.records.ordinals import Ordinals, ordinals_text
from scalesearch.records.row import Row
from scalesearch.records.trials import Trial
from scalesearch.space.band import Band
from scalesearch.space.space import Point
from scalesearch.study.propose import Proposal, propose, reads_results
from scalesearch.study.repeats import Again, next_repeat
from scalesearch.study.told import as_told


class Taken(NamedTuple):
    """A candidate that has been proposed."""

    key: tuple[str, ...]
    point: Point


class Turn(NamedTuple):
    """A repeat that has been chosen, and what was told."""

    again: Again
    told: tuple[str, ...] | None


def derive_proposal(
    plan: Plan, band: Band, ordinal: int, told: Sequence[str], trials: Sequence[Trial], taken: Mapping[int, Taken]
) -> Proposal:
    """Return proposal number `ordinal`, which was told `told` of `trials`.

    `taken` are candidates by ordinal, at least all below and all told: those below that were not told are in training.
    Raises EmptyBandError as `propose`, and ValueError as `as_told`.
    """
    known = as_told(trials, told, epochs_at(plan.ladder, plan.recipe.epochs)) if told else []
    observed = {trial.ordinal for trial in known}
    out: list[int] = []
    if reads_results(band, plan.sampler, ordinal):  # the others read no points
        out = sorted(at for at in taken if at < ordinal and at not in observed)
    return propose(
        band,
        plan.sampler,
        plan.objectives,
        plan.seed,
        ordinal,
        known,
        taken={one.key for at, one in taken.items() if at < ordinal or at in observed},
        pending=[taken[at].point for at in out],
    )


def repeats_by_turn(rows: Iterable[Row]) -> dict[int, Turn]:
    """Return by turn the repeats among `rows`. Those from before turns were kept come first, in the order of rows."""
    repeats = [row for row in rows if row.kind == "repeat"]
    without = dict.fromkeys((row.ordinal, row.seed) for row in repeats if row.turn is None)
    found = {turn: Turn(again, None) for turn, again in enumerate(without)}
    return found | {row.turn: Turn((row.ordinal, row.seed), row.told) for row in repeats if row.turn is not None}


def repeat_told(trials: Iterable[Trial], ended: Iterable[int]) -> tuple[str, str]:
    """Return what a repeat is told: the candidates that it chooses among, and the turns of the repeats that have ended."""
    return ordinals_text(trial.ordinal for trial in trials if trial.complete), ordinals_text(sorted(ended))


def derive_repeat(
    plan: Plan, turn: int, told: Sequence[str], trials: Sequence[Trial], given: Mapping[int, Turn]
) -> Again | None:
    """Return repeat number `turn`, which was told `told` of `trials` and of the repeats `given`.

    None where no candidate is complete. Raises ValueError where what was told is not there.
    """
    if len(told) != 2:
        raise ValueError("a repeat is told the candidates that it chooses among and the turns that have ended")
    among, ended = map(Ordinals, told)
    candidates = [trial for trial in trials if trial.ordinal in among and trial.complete]
    known = {one.again for at, one in given.items() if at in ended}
    if len(candidates) != len(among) or len(known) != len(ended):
        raise ValueError("it was told of candidates or repeats that have no complete row")
    pending = [one.again for at, one in given.items() if at < turn and at not in ended]
    return next_repeat(candidates, plan.objectives, plan.seed, known, pending)
